"""Draws two routes through the sandbox's pools: `python -m local.route_picture` writes docs/route.svg.

The same pools make the same picture.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from chalicelib.domain.pool import StoredPool
from chalicelib.domain.quote import Leg
from chalicelib.domain.token import Token, find
from chalicelib.routing.paths import Plan, Planner, Wish
from chalicelib.solana.clock import Clock
from chalicelib.venues.pools.directory import SANDBOX, accounts_in
from chalicelib.venues.pools.programs import PROGRAMS
from chalicelib.venues.pools.shelf import Shelved

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "route.svg"
# Whole tokens: (token in, amount, token out).
SWAPS = (("SOL", 900, "USDC"), ("BONK", 2_000_000_000, "USDC"))
# Any at which all pools are open.
NOW = Clock(slot=2**62, epoch=2**62, timestamp=2_000_000_000)
# Pixels: the picture's width, a token's and a pool's box, the height of a pool's row and of a route's heading.
WIDTH, TOKEN, POOL, ROW, HEADING = 1080, 80, 150, 76, 58
BOX, LEFT, WIDEST = 48, 30, 30
THOUSAND, MILLION = 10**3, 10**6
STYLE = """
    .ground { fill: #ffffff; stroke: #d5dae1; }
    .token { fill: #fbf3e4; stroke: #b98a3a; }
    .Raydium { fill: #e8effc; stroke: #5b82cf; }
    .Meteora { fill: #f3e9fb; stroke: #9163bf; }
    .flow { fill: none; stroke: #97a3b3; stroke-opacity: .55; }
    text { fill: #1a2029; text-anchor: middle; }
    .name { font-weight: 600; }
    .small { fill: #4a5565; font-size: 13px; }
    .left { text-anchor: start; }
    .right { text-anchor: end; }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #161b22; stroke: #35404d; }
      .token { fill: #33291a; stroke: #c79a4e; }
      .Raydium { fill: #1c2a45; stroke: #6f97e6; }
      .Meteora { fill: #2e2140; stroke: #b48ae0; }
      .flow { stroke: #6b7889; }
      text { fill: #e7ebf0; }
      .small { fill: #b3bdca; }
    }
"""


class Point(NamedTuple):
    """A place in the picture, in pixels."""

    x: float
    y: float


def picture() -> str:
    """The picture, as SVG."""
    lines: list[str] = []
    top = 10.0
    for name, amount, bought in SWAPS:
        sold, got = _token(name), _token(bought)
        plan = _plan(sold, amount * 10**sold.decimals, got)
        lines += [*_heading(plan, sold, got, top), *_route(plan, top + HEADING)]
        top += HEADING + _height(plan)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:.0f}" role="img" aria-labelledby="title" '
        'font-family="system-ui, -apple-system, \'Segoe UI\', Helvetica, Arial, sans-serif" font-size="15">'
    )
    title = '<title id="title">Two routes through the pools of the sandbox: a split, and two hops</title>'
    ground = f'<rect class="ground" x=".5" y=".5" width="{WIDTH - 1}" height="{top - 1:.0f}" rx="10"/>'
    return "\n  ".join([head, title, f"<style>{STYLE}  </style>", ground, *lines]) + "\n</svg>\n"


def _plan(sold: Token, amount: int, bought: Token) -> Plan:
    """The best path over the sandbox's pools as they are shipped."""
    accounts = accounts_in(SANDBOX)
    pools = []
    for account in accounts.values():
        for program in PROGRAMS:
            if account.is_a(program.address, program.kind):
                pool = program.read(account.pubkey, accounts)
                stored = StoredPool(pool.address, 0, 1, None, pool.venue, *pool.mints, live=False, age=0.0)
                pools.append(Shelved(stored, pool))
    planner = Planner(middles=tuple(_token(symbol).mint for symbol in ("SOL", "USDC")))
    return planner.plan(Wish(mint_in=sold.mint, mint_out=bought.mint, amount_in=amount), pools, NOW)


def _heading(plan: Plan, sold: Token, bought: Token, top: float) -> Iterator[str]:
    """What is swapped, and what it gains."""
    yield _text(f"{_plain(plan.amount_in, sold)} to {bought.name}", Point(LEFT, top + 26), "name left")
    if plan.single is None:
        raise AssertionError("one pool a hop can do the sandbox's swaps")
    gain = (plan.amount_out - plan.single) / plan.single * 100
    said = f"pays {_plain(plan.amount_out, bought)}, {gain:.2f} % more than one pool a hop; one transaction"
    yield _text(f"{said}, price impact {float(plan.price_impact) * 100:.2f} %", Point(LEFT, top + 46), "small left")


def _route(plan: Plan, top: float) -> Iterator[str]:
    """Tokens from left to right, and between them the pools of each hop."""
    hops = _hops(plan)
    step = (WIDTH - 2 * LEFT - TOKEN) / len(hops)
    middle = top + _height(plan) / 2 - 10
    mints = [hops[0][0].mint_in, *(legs[0].mint_out for legs in hops)]
    for number, legs in enumerate(hops):
        yield from _hop(legs, Point(LEFT + TOKEN + number * step, middle), step - TOKEN)
    for number, mint in enumerate(mints):
        yield _box("token", Point(LEFT + number * step, middle - BOX / 2), TOKEN)
        yield _text(_token(mint).name, Point(LEFT + number * step + TOKEN / 2, middle + 5), "name")


def _hop(legs: Sequence[Leg], start: Point, width: float) -> Iterator[str]:
    """The pools of one hop, from the edge of one token to that of the next; flows are as wide as their shares."""
    left, right = start.x + (width - POOL) / 2, start.x + (width + POOL) / 2
    amount = sum(leg.amount_in for leg in legs)
    widths = [max(2.0, WIDEST * leg.amount_in / amount) for leg in legs]
    joined = start.y - sum(widths) / 2
    for number, (leg, wide) in enumerate(zip(legs, widths, strict=True)):
        y = start.y + (number - (len(legs) - 1) / 2) * ROW
        yield _flow(Point(start.x, joined + wide / 2), Point(left, y), wide)
        yield _flow(Point(right, y), Point(start.x + width, joined + wide / 2), wide)
        yield _box(leg.venue, Point(left, y - BOX / 2), POOL)
        yield _text(leg.venue, Point((left + right) / 2, y - 2), "name")
        yield _text(f"{leg.pool[:4]}…{leg.pool[-4:]}", Point((left + right) / 2, y + 16), "small")
        # On the side that the flow does not come from.
        label = y + wide / 2 + 16 if y > start.y else y - wide / 2 - 6
        yield _text(_plain(leg.amount_in, _token(leg.mint_in)), Point(left - 8, label), "small right")
        yield _text(_plain(leg.amount_out, _token(leg.mint_out)), Point(right + 8, label), "small left")
        joined += wide


def _flow(start: Point, end: Point, wide: float) -> str:
    bend = (start.x + end.x) / 2
    path = f"M{start.x:.0f} {start.y:.0f}C{bend:.0f} {start.y:.0f} {bend:.0f} {end.y:.0f} {end.x:.0f} {end.y:.0f}"
    return f'<path class="flow" d="{path}" stroke-width="{wide:.1f}"/>'


def _box(kind: str, corner: Point, width: float) -> str:
    return f'<rect class="{kind}" x="{corner.x:.0f}" y="{corner.y:.0f}" width="{width}" height="{BOX}" rx="6"/>'


def _text(what: str, at: Point, kind: str) -> str:
    return f'<text class="{kind}" x="{at.x:.0f}" y="{at.y:.0f}">{what}</text>'


def _hops(plan: Plan) -> list[list[Leg]]:
    return [[leg for leg in plan.legs if leg.hop == hop] for hop in sorted({leg.hop for leg in plan.legs})]


def _height(plan: Plan) -> float:
    return max(map(len, _hops(plan))) * ROW + 20


def _plain(amount: int, token: Token) -> str:
    """An amount in tokens, rounded: a unit more or less does not show."""
    whole = amount / 10**token.decimals
    if whole >= MILLION:
        return f"{whole / MILLION:,.0f} M {token.name}"
    return f"{whole:,.0f} {token.name}" if whole == int(whole) or whole >= THOUSAND else f"{whole:.2f} {token.name}"


def _token(name: str) -> Token:
    if (token := find(name)) is None:
        raise AssertionError(f"{name} is no token")
    return token


if __name__ == "__main__":
    PICTURE.write_text(picture())
