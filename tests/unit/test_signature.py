"""Our signatures are botocore's, byte for byte, and so are the credentials that we find."""

from datetime import UTC, datetime
from unittest import mock
from urllib.parse import quote

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, EnvProvider
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.aws.identity import Identity
from chalicelib.aws.signature import Keys, signed

PRINTABLE = st.characters(min_codepoint=33, max_codepoint=126)
WORD = st.text(PRINTABLE, min_size=1, max_size=40)
SEGMENT = st.text(min_size=1, max_size=12).map(lambda text: quote(text, safe="@~", errors="replace"))
SEGMENTS = st.lists(SEGMENT.filter(lambda text: text not in (".", "..")), max_size=4)
NAME = st.from_regex(r"[a-z][a-z0-9.-]{0,20}[a-z]", fullmatch=True)
MOMENT = st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))


@given(
    keys=st.builds(Keys, WORD, WORD, st.one_of(st.just(""), WORD)),
    region=st.from_regex(r"[a-z]{2}-[a-z]{4,9}-[1-9]", fullmatch=True),
    service=st.sampled_from(["sqs", "execute-api"]),
    host=st.tuples(NAME, st.sampled_from(["", ":4566"])).map("".join),
    path=SEGMENTS.map(lambda segments: "/" + "/".join(segments)),
    headers=st.dictionaries(st.sampled_from(["content-type", "x-amz-target", "x-amz-a"]), WORD),
    body=st.binary(max_size=100),
    now=MOMENT,
)
def test_a_signature_is_botocores(
    *, keys: Keys, region: str, service: str, host: str, path: str, headers: dict[str, str], body: bytes, now: datetime
) -> None:
    request = AWSRequest("POST", f"https://{host}{path}", headers=headers, data=body)
    credentials = Credentials(keys.access_key, keys.secret_key, keys.token or None)
    with mock.patch.object(auth, "get_current_datetime", lambda: now):
        auth.SigV4Auth(credentials, service, region).add_auth(request)
    ours = signed(
        keys, region=region, service=service, path=path, headers={**headers, "host": host}, body=body, now=now
    )
    assert ours.pop("host") == host
    assert ours == {name.lower(): value for name, value in request.headers.items()}


@pytest.mark.parametrize(
    "names", [[], ["AWS_SESSION_TOKEN"], ["AWS_SECURITY_TOKEN"], ["AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"]]
)
async def test_the_environment_is_read_as_botocore_reads_it(monkeypatch: pytest.MonkeyPatch, names: list[str]) -> None:
    for name in ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_CREDENTIAL_EXPIRATION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", *names):
        monkeypatch.setenv(name, f"the {name}")
    theirs = EnvProvider().load()
    assert await Identity().keys() == (theirs.access_key, theirs.secret_key, theirs.token or "")


async def test_credentials_with_an_end_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "first")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "2000-01-01T00:00:00Z")
    identity = Identity()
    identity.check()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "second")
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "2999-01-01T00:00:00Z")
    assert (await identity.keys()).access_key == "second"
