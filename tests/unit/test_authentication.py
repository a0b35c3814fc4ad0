"""What a container keeps of keys: bounded, for ten seconds, and without letting guesses push out what is known."""

from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.domain.account import Caller
from chalicelib.domain.clock import SystemClock, SystemEntropy
from chalicelib.domain.credentials import ApiKey, new_key
from chalicelib.domain.errors import Unauthorized, Unavailable
from chalicelib.intake import authentication
from chalicelib.intake.authentication import KNOWN_SECONDS, Authentication
from chalicelib.store.accounts import Noted, StoredKey
from chalicelib.telemetry import Telemetry

ENTROPY = SystemEntropy()


class Stage(SystemClock):
    """A clock that stands still, and a store of keys that counts who asks."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.keys: dict[str, StoredKey] = {}
        self.asked: list[tuple[str, Noted]] = []
        self.error: Exception | None = None

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.passed)

    def add(self, account: str) -> ApiKey:
        key = new_key(ENTROPY)
        self.keys[key.prefix] = StoredKey(account, key.digest, revoked=False)
        return key

    async def key(self, given: ApiKey, noted: Noted) -> StoredKey | None:
        self.asked.append((given.prefix, noted))
        if self.error:
            raise self.error
        return self.keys.get(given.prefix)

    async def issue(self, caller: Caller, digest: bytes) -> datetime | None:
        return datetime.now(UTC)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def door(stage: Stage) -> Authentication:
    return Authentication(store=stage, clock=stage, entropy=ENTROPY, telemetry=Telemetry("CRITICAL"), required=True)


async def given(door: Authentication, key: ApiKey) -> str | None:
    try:
        return (await door.caller(f"Bearer {key.text}")).account
    except Unauthorized:
        return None


async def test_a_key_is_asked_for_again_after_ten_seconds(stage: Stage, door: Authentication) -> None:
    key = stage.add("alice")
    for passed in (0.0, 5.0, KNOWN_SECONDS - 0.1):
        stage.passed = passed
        assert await given(door, key) == "alice"
    assert len(stage.asked) == 1
    stage.keys[key.prefix] = StoredKey("alice", key.digest, revoked=True)
    stage.passed = KNOWN_SECONDS
    assert await given(door, key) is None
    assert stage.asked[1:] == [(key.prefix, Noted(used=2))]


async def test_a_clock_that_was_put_back_keeps_nothing(stage: Stage, door: Authentication) -> None:
    key = stage.add("alice")
    await given(door, key)
    stage.passed = -1.0
    await given(door, key)
    assert len(stage.asked) == 2


async def test_wrong_secrets_cost_two_questions_in_ten_seconds_however_many_they_are(
    stage: Stage, door: Authentication
) -> None:
    key = stage.add("alice")
    for _ in range(20):
        assert await given(door, key) == "alice"
        assert await given(door, ApiKey(key.prefix, new_key(ENTROPY).secret)) is None
    assert len(stage.asked) == 2
    stage.passed = KNOWN_SECONDS
    await given(door, key)
    # What each question was asked with, and the two that asked them, are all there were.
    assert sum(noted.used for _, noted in stage.asked) + 2 == 20 + 1
    assert sum(noted.refused for _, noted in stage.asked) + 1 == 20


async def test_what_is_kept_is_bounded_and_guesses_push_out_no_key(
    stage: Stage, door: Authentication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "MOST_KNOWN", 10)
    keys = [stage.add(f"account-{at}") for at in range(10)]
    for key in keys:
        await given(door, key)
    for _ in range(50):
        assert await given(door, new_key(ENTROPY)) is None
    asked = len(stage.asked)
    assert [await given(door, key) for key in keys] == [f"account-{at}" for at in range(10)]
    assert len(stage.asked) == asked
    await given(door, stage.add("one more"))
    assert (len(door._known), len(door._unknown)) == (10, 10)


async def test_a_database_that_cannot_be_reached_is_not_taken_for_an_answer(stage: Stage, door: Authentication) -> None:
    key = stage.add("alice")
    stage.error = Unavailable("no database")
    with pytest.raises(Unavailable):
        await door.caller(f"Bearer {key.text}")
    stage.error = None
    assert await given(door, key) == "alice"
    stage.passed = KNOWN_SECONDS
    await given(door, key)
    stage.error = Unavailable("no database")
    stage.passed = 2 * KNOWN_SECONDS
    # Nor is what was known before.
    with pytest.raises(Unavailable):
        await door.caller(f"Bearer {key.text}")


async def test_the_log_is_told_why_and_never_the_secret(
    stage: Stage, door: Authentication, capsys: pytest.CaptureFixture[str]
) -> None:
    door._telemetry = Telemetry("WARNING")
    key = stage.add("alice")
    other = ApiKey(key.prefix, new_key(ENTROPY).secret)
    assert await given(door, other) is None
    assert await given(door, key) == "alice"
    told = capsys.readouterr().out
    assert "wrong secret" in told
    assert key.prefix in told
    assert key.secret not in told + str(Unauthorized())
    assert other.secret not in told
