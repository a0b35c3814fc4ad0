"""`python -m benchmarks.quotes`: what quotes of pools and splits over pools take of one core."""

import time
from collections.abc import Callable
from hashlib import sha256

import msgspec

from benchmarks.reporting.report import Goal, Result, Spread, Table, run
from benchmarks.reporting.rounds import ROUNDS, interleaved
from chalicelib.domain import base58
from chalicelib.routing.split import split
from chalicelib.solana import address as addresses
from chalicelib.solana.account import Account
from chalicelib.solana.clock import Clock
from chalicelib.venues.meteora import state as dlmm
from chalicelib.venues.meteora.pool import DlmmPool
from chalicelib.venues.meteora.walk import walk
from chalicelib.venues.pool import Curve, Pool
from chalicelib.venues.pools.directory import SANDBOX, accounts_in
from chalicelib.venues.raydium import state as cpmm
from local.sandbox import contents

REAL = "9t3EyC9FweyL7PBWvKz3mrXg8B9fwFc9SK3QxM4ENqhd"
# The other DLMM pool: the same bins, with a lower fee.
BASE_FACTOR = slice(8, 10)
OTHER_FACTOR = 8_000
# The reserves of the CPMM pools, at about the price of the bins.
RESERVES = ((400 * 10**9, 398 * 10**9), (250 * 10**9, 248 * 10**9))
FEE = 2_500
# The one input reaches 20 bins of one pool, the other many of two.
QUOTED, SPLIT = 147 * 10**9, 100 * 10**9
BINS = 20
MOST_LEGS = 3
NOW = Clock(slot=2**62, epoch=2**62, timestamp=2_000_000_000)
# The fastest of so many stretches counts, each of at least so long.
STRETCHES, STRETCH_SECONDS = 10, 0.005
CALIBRATING_STEPS = 100
# In µs.
MOST = {
    "CPMM quote": 2.0,
    "DLMM quote": 3.0,
    "DLMM walk": 50.0,
    "DLMM table": 250.0,
    "split, warm": 150.0,
    "split, after a fill": 800.0,
    "split, from bytes": 1_500.0,
}
ABOUT = f"""
Processor time of one process, in interleaved rounds; in each, the fastest of {STRETCHES} stretches, since whatever else
runs on the machine only adds. A step is a multiplication, an addition and a division of integers in a plain loop, in
the same rounds: ratios to it carry over to other processors, microseconds don't.

The DLMM pool is a real one of the sandbox. Its quote reaches {BINS} bins: from a table that is there; by the walk that
executes a swap; and the making of the whole table of one direction. A split is over two CPMM pools, that DLMM pool
and the same with another fee, in at most {MOST_LEGS} legs: with tables that are there; with one DLMM pool that has just
traded; and from the accounts' bytes on.
""".strip()


def measure() -> Result:
    """Quotes and splits."""
    variants = {name: (lambda call=call: _micros(call)) for name, call in _calls().items()}
    found = {name: Spread.of(values) for name, values in interleaved(variants, warm=1).items()}
    return _result(found, found.pop("step").median / CALIBRATING_STEPS)


def _calls() -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    real = accounts_in(SANDBOX)
    others = dict(real)
    changed = bytearray(real[REAL].data)
    changed[BASE_FACTOR] = OTHER_FACTOR.to_bytes(2, "little")
    others[REAL] = msgspec.structs.replace(real[REAL], data=bytes(changed))
    pool = dlmm.read(REAL, real)
    markets = [_cpmm_accounts(pool, number, reserves) for number, reserves in enumerate(RESERVES)]

    def curves() -> list[Curve]:
        pools: list[Pool] = [cpmm.read(_address("pool", number), market) for number, market in enumerate(markets)]
        pools += [dlmm.read(REAL, each) for each in (real, others)]
        return [each.curve(True, NOW) for each in pools]

    warm = curves()
    references = pool.regime(NOW).references
    walked = walk(pool.pair, pool.snapshot, references, QUOTED, True)
    assert pool.snapshot.active_id - walked.active_id == BINS - 1
    assert warm[2].amount_out(QUOTED) == walked.amount_out
    assert sum(amount > 0 for amount in split(warm, SPLIT, MOST_LEGS).inputs) == MOST_LEGS
    _, traded = pool.swap(QUOTED // BINS, True, NOW)
    return {
        "step": _calibrate,
        "CPMM quote": lambda: warm[0].amount_out(QUOTED),
        "DLMM quote": lambda: warm[2].amount_out(QUOTED),
        "DLMM walk": lambda: walk(pool.pair, pool.snapshot, references, QUOTED, True),
        "DLMM table": lambda: pool.curve(True, NOW).capacity,
        "split, warm": lambda: split(warm, SPLIT, MOST_LEGS),
        "split, after a fill": lambda: split([*warm[:2], traded.curve(True, NOW), warm[3]], SPLIT, MOST_LEGS),
        "split, from bytes": lambda: split(curves(), SPLIT, MOST_LEGS),
    }


def _cpmm_accounts(pool: DlmmPool, number: int, reserves: tuple[int, int]) -> dict[str, Account]:
    """The accounts of a CPMM pool that trades the same tokens as another pool."""
    names = [_address(name, number) for name in ("pool", "config", "vault 0", "vault 1")]
    mints = [Account(mint, addresses.TOKEN_PROGRAM, contents(82, {44: bytes([6, 1])})) for mint in pool.mints]
    config = Account(names[1], cpmm.PROGRAM, contents(236, {12: FEE.to_bytes(8, "little")}, "AmmConfig"))
    places = zip((8, 72, 104, 168, 200), (*names[1:], *pool.mints), strict=True)
    own = {at: addresses.to_bytes(name) for at, name in places}
    held = Account(names[0], cpmm.PROGRAM, contents(637, own, "PoolState"))
    vaults = [
        Account(
            name,
            addresses.TOKEN_PROGRAM,
            contents(165, {0: addresses.to_bytes(mint), 64: reserve.to_bytes(8, "little"), 108: b"\1"}),
        )
        for name, mint, reserve in zip(names[2:], pool.mints, reserves, strict=True)
    ]
    return {account.pubkey: account for account in (held, config, *vaults, *mints)}


def _address(name: str, number: int) -> str:
    return base58.encode(sha256(f"{name} {number}".encode()).digest())


def _calibrate() -> int:
    value = 1
    for step in range(CALIBRATING_STEPS):
        value = (value * 1_000_003 + step) // 1_009 + 10**12
        value %= 2**64
    return value


def _micros(call: Callable[[], object]) -> float:
    """Microseconds of a call."""
    count, best = 1, 0.0
    while (taken := _seconds(call, count)) < STRETCH_SECONDS:
        count *= 2
    best = min(taken, *(_seconds(call, count) for _ in range(STRETCHES)))
    return best / count * 1e6


def _seconds(call: Callable[[], object], count: int) -> float:
    before = time.process_time()
    for _ in range(count):
        call()
    return time.process_time() - before


def _result(found: dict[str, Spread], step: float) -> Result:
    return Result(
        name="quotes",
        title="Quotes of pools",
        about=ABOUT,
        tables=[
            Table(
                "One core, plain Python",
                ["What", "µs", "steps"],
                [[name, spread.text(1), f"{spread.median / step:,.0f}"] for name, spread in found.items()],
                f"A step took {step * 1000:.0f} ns.",
            )
        ],
        goals=[
            Goal(name, f"≤ {most:g} µs", f"{found[name].median:,.1f} µs", met=found[name].median <= most)
            for name, most in MOST.items()
        ],
        figures={
            "rounds": ROUNDS,
            "step": step,
            **{name: {"µs": spread.median, "steps": spread.median / step} for name, spread in found.items()},
        },
    )


if __name__ == "__main__":
    raise SystemExit(run(measure, __doc__))
