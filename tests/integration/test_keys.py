"""An operator's keys: revoked ones are refused in time, and who used one is known."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib import bootstrap
from chalicelib.handlers import rest
from chalicelib.intake.authentication import KNOWN_SECONDS
from tests.integration.keyed import Account
from tests.integration.operators import Operator
from tests.integration.rig import Request, Rig

UNKNOWN = "0190f3c4-8a1e-7b2c-9d3e-4f5061728394"
PREFIX, SECRET = "1" * 12, "2" * 44


class Later:
    """A clock that can be put forward."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self.ahead = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock, name)

    def now(self) -> datetime:
        now: datetime = self._clock.now()
        return now + timedelta(seconds=self.ahead)


@pytest.fixture
def later(keyed: Rig, monkeypatch: pytest.MonkeyPatch) -> Later:
    """Time passes for what is known of keys."""
    parts = bootstrap.engine()
    clock = Later(parts.authentication._clock)
    monkeypatch.setattr(parts.authentication, "_clock", clock)
    monkeypatch.setattr(parts.sockets._authentication, "_clock", clock)
    return clock


def test_a_revoked_key_is_refused_by_the_time_that_is_promised(
    keyed: Rig, alice: Account, operate: Operator, later: Later
) -> None:
    assert alice.list() == []
    assert alice.connect("before=") == 200
    ticket = alice.ticket()
    status, text = operate("keys", "revoke", alice.key)
    assert (status, text.startswith(f"revoked {alice.prefix}")) == (0, True)
    # What stays is not opened by what was known a moment ago, and what was open gets nothing any more.
    assert alice.connect("after=") == 401
    assert keyed.connecting("ticket=", {}, {"ticket": ticket}) == 401
    assert rest.ticket(Request(authorization=alice.bearer)).status == 401
    assert keyed.sql("SELECT id FROM connections") == []
    later.ahead = KNOWN_SECONDS
    assert rest.orders(Request(authorization=alice.bearer)) == rest.orders(Request())
    # A container that starts knows it at once.
    bootstrap.close()
    assert alice.show(UNKNOWN).status == 401


def test_a_key_that_comes_later_is_let_in_by_then(keyed: Rig, alice: Account, later: Later) -> None:
    keyed.sql("UPDATE api_keys SET prefix = %s", PREFIX)
    assert alice.show(UNKNOWN).status == 401
    keyed.sql("UPDATE api_keys SET prefix = %s", alice.prefix)
    assert alice.show(UNKNOWN).status == 401
    later.ahead = KNOWN_SECONDS
    assert alice.show(UNKNOWN).status == 404


# Who used a key.


def test_an_operator_sees_who_used_a_key_and_what_was_refused(
    keyed: Rig, alice: Account, operate: Operator, later: Later
) -> None:
    assert operate("keys", "audit", alice.prefix)[1].rstrip().endswith("never given")
    alice.list()
    day = operate.json("keys", "audit", alice.prefix)["days"][0]
    assert (day["uses"], day["refusals"], day["last_refusal"]) == (1, 0, None)
    for _ in range(3):
        alice.list()
        assert rest.orders(Request(authorization=f"Bearer oe_{alice.prefix}_{SECRET}")).status == 401
    # The first refusal is there at once, with what came before it; the others with the next look.
    day = operate.json("keys", "audit", alice.prefix)["days"][0]
    assert (day["uses"], day["refusals"], day["last_refusal"]) == (2, 1, "wrong secret")
    later.ahead += KNOWN_SECONDS
    alice.list()
    day = operate.json("keys", "audit", alice.prefix)["days"][0]
    assert (day["uses"], day["refusals"]) == (5, 3)
    operate("keys", "revoke", alice.prefix)
    later.ahead += KNOWN_SECONDS
    assert alice.show(UNKNOWN).status == 401
    status, text = operate("keys", "audit", alice.prefix)
    assert status == 0
    assert "revoked" in text.splitlines()[0]
    assert "4 refusals (last revoked, " in text
    assert keyed.sql("SELECT count(*) FROM key_uses") == [(1,)]


def test_keys_are_listed_by_account(keyed: Rig, alice: Account, bob: Account, operate: Operator) -> None:
    operate("keys", "create", "bob", "--label", "for the market maker")
    assert [key["account"] for key in operate.json("keys", "list")["keys"]] == ["alice", "bob", "bob"]
    bobs = operate.json("keys", "list", "bob")["keys"]
    assert [(key["prefix"] == bob.prefix, key["label"]) for key in bobs] == [
        (True, ""),
        (False, "for the market maker"),
    ]
    assert operate("keys", "list", "nobody") == (0, "no keys\n")


def test_a_key_that_is_not_there_is_refused_by_name(keyed: Rig, operate: Operator) -> None:
    for command in ("revoke", "audit"):
        assert operate("keys", command, PREFIX) == (1, f"no key has the prefix {PREFIX}\n")


@pytest.mark.parametrize(
    "arguments", [("create", "a b"), ("create", ""), ("create", "x" * 65), ("revoke", "short"), ("audit", "0" * 12), ()]
)
def test_a_bad_command_line_is_refused(rig: Rig, operate: Operator, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as refused:
        operate("keys", *arguments)
    assert refused.value.code == 2
