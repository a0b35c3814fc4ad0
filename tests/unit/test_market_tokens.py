"""Orders of tokens that a market knows, knows several of, or does not know."""

from collections.abc import Collection
from datetime import UTC, datetime

import pytest

from chalicelib.bootstrap import pool_market
from chalicelib.domain import token
from chalicelib.domain.clock import SystemClock, SystemEntropy
from chalicelib.domain.errors import ClientError, ConfigurationError, Fault, UnknownToken
from chalicelib.domain.pool import StoredPool
from chalicelib.intake.validation import asked, terms
from chalicelib.settings import Settings
from chalicelib.store.database import Database, connect
from tests.hostile import BODIES, order

SOL, USDC = token.KNOWN[0], token.KNOWN[1]
ETHER = [token.Token("ETH", 8, "7vfCXTUXx5WJV5JADk17DUJ4ksgau7utNKj4b963voxs"), token.Token("ETH", 6, "2" * 44)]

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("field", ["tokenIn", "tokenOut"])
@pytest.mark.parametrize("text", ["FOO", "2" * 44, "fail"])
def test_a_token_that_the_market_does_not_know_is_named(field: str, text: str) -> None:
    with pytest.raises(UnknownToken, match=f"^{field} .*{text}") as caught:
        terms(order(**{field: f'"{text}"'}), None, token.Registry(), NOW)
    assert caught.value.code == "unknown_token"


@pytest.mark.parametrize("field", ["tokenIn", "tokenOut"])
def test_a_symbol_of_several_mints_lists_them(field: str) -> None:
    tokens = token.Registry([SOL, USDC, *ETHER])
    with pytest.raises(ClientError, match=f"^{field} ") as caught:
        terms(order(**{field: '"eth"'}), None, tokens, NOW)
    assert caught.value.code == "ambiguous_token"
    assert all(each.mint in str(caught.value) for each in ETHER)
    for each in ETHER:
        assert terms(order(tokenIn=f'"{each.mint}"'), None, tokens, NOW).token_in == each


class Growing:
    """A market that comes to know more when it is asked to look."""

    def __init__(self, more: list[token.Token]) -> None:
        self.tokens = token.Registry()
        self.looks = 0
        self._more = more

    async def refreshed(self, wanted: Collection[str] = ()) -> token.Registry:
        self.looks += 1
        self.wanted = list(wanted)
        self.tokens = token.Registry([*token.KNOWN, *self._more])
        return self.tokens

    async def pools(self, after: str, limit: int) -> list[StoredPool]:
        return []


async def test_a_token_that_came_since_is_looked_for_and_a_known_one_is_not() -> None:
    market = Growing([token.Token("2" * 44, 3, "2" * 44)])
    assert (await asked(order(), None, market, NOW)).terms == terms(order(), None, market.tokens, NOW)
    assert market.looks == 0
    came = (await asked(order(tokenIn=f'"{"2" * 44}"', amount="0.001"), None, market, NOW)).terms
    assert (came.token_in.decimals, came.amount, market.looks) == (3, 1, 1)
    with pytest.raises(UnknownToken):
        await asked(order(tokenOut='"FOO"'), None, market, NOW)
    assert market.looks == 2


async def test_all_unknown_tokens_are_looked_for_at_once() -> None:
    market = Growing([])
    one, other = "2" * 44, "3" * 44
    with pytest.raises(UnknownToken):
        await asked(order(tokenIn=f'"{one}"', tokenOut=f'"{other}"'), None, market, NOW)
    assert (market.looks, market.wanted) == (1, [one, other])
    with pytest.raises(UnknownToken):
        await asked(order(tokenOut=f'"{other}"'), None, market, NOW)
    assert (market.looks, market.wanted) == (2, [other])


async def test_what_else_is_wrong_with_a_body_looks_for_no_token() -> None:
    market = Growing([])
    for hostile in BODIES:
        with pytest.raises(ClientError) as caught:
            await asked(hostile.body, hostile.content_type, market, NOW)
        assert caught.value.code in (hostile.code, Fault.UNKNOWN_TOKEN), hostile.name
        assert market.looks == (caught.value.code == Fault.UNKNOWN_TOKEN), hostile.name
        market.looks = 0


@pytest.mark.parametrize("name", ["USDCC", "not a token"])
def test_a_middle_token_that_is_not_listed_is_refused(name: str) -> None:
    given = Settings(database_url="postgresql://", market="pools", middle_tokens=f"SOL, {name}")
    clock = SystemClock()
    database = Database(given.database_url, clock, connect, pooler=False, name="test")
    with pytest.raises(ConfigurationError, match=f"MIDDLE_TOKENS: {name} is neither a listed symbol nor a mint"):
        pool_market(given, database, clock=clock, entropy=SystemEntropy())
