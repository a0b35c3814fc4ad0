"""The paper chain: routes trade with the stored pools as the real programs would, and with nobody's money."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

import msgspec

from chalicelib.domain.clock import Entropy, fraction
from chalicelib.domain.errors import Contended, PoolRefused
from chalicelib.domain.quote import Leg, Route
from chalicelib.solana.clock import Clock as ChainClock
from chalicelib.store.gathering import Gathering
from chalicelib.store.ledger import Swap, Trade
from chalicelib.store.pools import Change, Filled
from chalicelib.venues import ledger_chain
from chalicelib.venues.base import Answer, Attempt, Outcome, Transaction
from chalicelib.venues.ledger_chain import LANDING_SECONDS, VALID_MS, Entries
from chalicelib.venues.pool import Pool
from chalicelib.venues.pools.shelf import Shelved

# How often a transaction is computed anew because others traded with its pools first.
TRIES = 20


class Fills(Protocol):
    """Where transactions and what they make of pools are written together."""

    async def fill(self, swaps: Sequence[Swap], changes: Sequence[Change]) -> Filled:
        """Land transactions, all or none, if the pools that they looked at are as they were computed from."""
        ...

    async def unlocked(self, addresses: Collection[str]) -> set[str]:
        """Those of these pools that no session holds at this moment."""
        ...


class Drops(Entries, Protocol):
    """A ledger in which a sender may give a transaction up."""

    async def drop(self, tx_id: str, order_id: UUID, valid_until: datetime) -> None:
        """Give a transaction up before it was tried: it never lands."""
        ...


class Pools(Protocol):
    """Where pools are found."""

    async def named(self, addresses: Collection[str]) -> Mapping[str, Shelved]:
        """These pools as they are now, those that are still there."""
        ...


class _Sent(NamedTuple):
    transaction: Transaction
    valid_until: datetime

    @property
    def pools(self) -> frozenset[str]:
        """The addresses of those that it trades with."""
        return frozenset(leg.pool for leg in self.transaction.route.legs)


class PaperChain:
    """Executes a route when it is sent, on the pools as they then are, and tells so once it has landed."""

    def __init__(
        self,
        *,
        fills: Fills,
        pools: Pools,
        ledger: Drops,
        entropy: Entropy,
        time_scale: float,
        time: Callable[[], ChainClock],
    ) -> None:
        self._fills = fills
        self._pools = pools
        self._ledger = ledger
        self._entropy = entropy
        self._time_scale = time_scale
        self._time = time
        self._sending = Gathering(self._execute)

    def clock(self) -> ChainClock:
        """The chain's time."""
        return self._time()

    def prepare(self, attempt: Attempt, route: Route) -> Transaction:
        """Make the transaction of a route."""
        low, high = LANDING_SECONDS
        delay = (low + (high - low) * fraction(self._entropy)) * self._time_scale
        return Transaction(f"MOCKTX_{self._entropy.bits(96):024x}", attempt, route, VALID_MS, delay)

    async def send(self, transaction: Transaction, valid_until: datetime) -> None:
        """Send it; returns when it has traded."""
        await self._sending.of(_Sent(transaction, valid_until))

    async def ask(self, tx_id: str) -> Answer:
        """What became of it."""
        return await ledger_chain.ask(self._ledger, tx_id)

    async def decide(self, tx_id: str, order_id: UUID, valid_until: datetime) -> Answer:
        """The same for one past `valid_until` that the chain has not seen: from now on it can't land any more."""
        return await ledger_chain.decide(self._ledger, tx_id, order_id, valid_until)

    async def _execute(self, sent: Sequence[_Sent]) -> Sequence[None]:
        """Trade with the pools, one transaction after the other, all in one write.

        Raises StatementRefused where only some of them can land: each is then sent by itself.
        """
        left = list(sent)
        for _ in range(TRIES):
            pools = await self._pools.named({pool for each in left for pool in each.pools})
            swaps, changes = _Block(pools, self.clock()).of(left)
            try:
                filled = await self._fills.fill(swaps, changes)
            except Contended:
                left = await self._without_locked(left)
                if left:
                    continue
                break
            if filled.landed or filled.unchanged:
                break
        else:
            await self._drop(left)
        return [None] * len(sent)

    async def _without_locked(self, sent: Sequence[_Sent]) -> list[_Sent]:
        """Those whose pools nobody holds; the others are given up, which is no reason to count an attempt."""
        unlocked = await self._fills.unlocked({pool for each in sent for pool in each.pools})
        await self._drop([each for each in sent if not each.pools <= unlocked])
        return [each for each in sent if each.pools <= unlocked]

    async def _drop(self, sent: Sequence[_Sent]) -> None:
        for transaction, valid_until in sent:
            await self._ledger.drop(transaction.tx_id, transaction.attempt.order_id, valid_until)


class _Block:
    """Transactions in their order, on pools that each of them changes for the next."""

    def __init__(self, pools: Mapping[str, Shelved], clock: ChainClock) -> None:
        self._found = pools
        self._clock = clock
        self._now: dict[str, Pool] = {address: shelved.pool for address, shelved in pools.items()}
        self._versions = {address: shelved.stored.version for address, shelved in pools.items()}

    def of(self, sent: Sequence[_Sent]) -> tuple[list[Swap], list[Change]]:
        """What the transactions come to, and what they make of the pools."""
        swaps = [self._swap(*each) for each in sent]
        changes: list[Change] = []
        for address, shelved in self._found.items():
            before, version = shelved.stored.version, self._versions[address]
            state = msgspec.Raw(self._now[address].state()) if version > before else None
            changes.append(Change(address, before, version, state))
        return swaps, changes

    def _swap(self, transaction: Transaction, valid_until: datetime) -> Swap:
        attempt, route = transaction.attempt, transaction.route
        trades, reason = tuple[Trade, ...](), None
        amount_in = amount_out = 0
        try:
            legs, after = trade(route, attempt.terms.amount_out, self._now, self._clock)
            amount_in, amount_out = totals(legs)
            reason = route.objection(amount_in, amount_out)
        except PoolRefused as error:
            reason = str(error)
        if reason is None:
            self._now |= after
            trades = tuple(self._trade(leg) for leg in legs)
        return Swap(
            tx_id=transaction.tx_id,
            order_id=attempt.order_id,
            outcome=Outcome.REVERTED if reason else Outcome.SUCCEEDED,
            venue=route.chosen.venue,
            amount_in=0 if reason else amount_in,
            amount_out=0 if reason else amount_out,
            reason=reason,
            delay=transaction.lands_after,
            valid_until=valid_until,
            legs=trades or None,
        )

    def _trade(self, leg: Leg) -> Trade:
        self._versions[leg.pool] += 1
        return Trade(
            **msgspec.structs.asdict(leg), **msgspec.structs.asdict(self._clock), version=self._versions[leg.pool]
        )


def totals(legs: Sequence[Leg]) -> tuple[int, int]:
    """What legs take and pay in all."""
    last = max(leg.hop for leg in legs)
    return sum(leg.amount_in for leg in legs if leg.hop == 1), sum(leg.amount_out for leg in legs if leg.hop == last)


def trade(
    route: Route, wanted: int, pools: Mapping[str, Pool], clock: ChainClock
) -> tuple[tuple[Leg, ...], dict[str, Pool]]:
    """Execute a route: its legs as they come out, and its pools afterwards. Raises PoolRefused.

    `wanted` is the output to buy, 0 where the route's input is sold. What a hop gets is shared as the route shares it.
    """
    hops = [[leg for leg in route.legs if leg.hop == hop] for hop in sorted({leg.hop for leg in route.legs})]
    done: list[Leg] = []
    after = dict(pools)
    if wanted:
        inputs: list[list[int]] = []
        for legs in reversed(hops):
            outputs = shared(wanted, [leg.amount_out for leg in legs])
            inputs.insert(0, [_cost(leg, out, after, clock) for leg, out in zip(legs, outputs, strict=True)])
            wanted = sum(inputs[0])
    received = route.chosen.amount_in
    for number, legs in enumerate(hops):
        amounts = inputs[number] if wanted else shared(received, [leg.amount_in for leg in legs])
        received = 0
        for leg, amount in zip(legs, amounts, strict=True):
            pool = _pool(leg, after)
            fill, after[leg.pool] = pool.swap(amount, pool.mints[0] == leg.mint_in, clock)
            received += fill.amount_out
            done.append(
                msgspec.structs.replace(
                    leg,
                    amount_in=fill.amount_in,
                    amount_out=fill.amount_out,
                    fee_in=fill.fee_in,
                    fee_out=fill.fee_out,
                )
            )
    return tuple(done), {leg.pool: after[leg.pool] for leg in done}


def shared(amount: int, parts: Sequence[int]) -> list[int]:
    """An amount in proportion to parts; what rounding leaves goes to the last."""
    whole = sum(parts)
    shares = [amount * part // whole for part in parts[:-1]]
    return [*shares, amount - sum(shares)]


def _cost(leg: Leg, amount_out: int, pools: Mapping[str, Pool], clock: ChainClock) -> int:
    pool = _pool(leg, pools)
    return pool.curve(pool.mints[0] == leg.mint_in, clock).amount_in(amount_out)


def _pool(leg: Leg, pools: Mapping[str, Pool]) -> Pool:
    pool = pools.get(leg.pool)
    if pool is None:
        raise PoolRefused(f"pool {leg.pool} is not there any more")
    return pool
