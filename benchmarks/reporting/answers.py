"""What each benchmark found, in a sentence of its own figures: the page's first table.

A figure that an older result lacks is left out.
"""

from collections.abc import Callable, Mapping
from typing import Any

Figures = Mapping[str, Any]


def _drain(found: Figures) -> str:
    tens, hundreds = (found[f"engine, null sockets, {size}"] for size in (10, 100))
    bare = [found.get(f"bare rows, {size}") for size in (10, 100)]
    shares = [f"{each['rate'] / rows['rate']:.2f}" for each, rows in zip((tens, hundreds), bare, strict=True) if rows]
    against = f", {' and '.join(shares)} of the rate of the bare rows" if shares else ""
    return (
        f"{tens['rate']:,.0f} orders/s in batches of 10, {hundreds['rate']:,.0f} in batches of 100{against}; "
        f"{tens['client'] + tens['server']:,.0f} and {hundreds['client'] + hundreds['server']:,.0f} core-µs an order"
    )


def _latency(found: Figures) -> str:
    beyond = found["beyond the delay"]
    return (
        f"half of 200 orders posted at once are confirmed within {beyond['200 at once']['p50']:.2f} s of the soonest "
        f"that the swap's whole-second delay allows, all but 1 % within {beyond['200 at once']['p99']:.2f} s; one "
        f"alone takes {beyond['one alone']['p50']:.2f} s"
    )


def _accept(found: Figures) -> str:
    engine, many = found["engine"], found["many"]["µs"]
    return (
        f"{engine['rate']:,.0f} orders/s a process, {found['ratio']:.2f} times the bare INSERT and send; "
        f"{many[0]:,.0f} µs an order at first, {many[-1]:,.0f} µs after {len(many) * 10_000:,} orders"
    )


def _stream(found: Figures) -> str:
    waits = found["commit to frame"]["1 to an order, batches of 1"]
    return (
        f"a frame is at its socket {waits['p50_ms']:.1f} ms after the commit, and costs "
        f"{found['1 to an order']['client_us']:.0f} core-µs; {found['10 to an order']['client_us']:.0f} where ten "
        "sockets follow an order"
    )


def _scale(found: Figures) -> str:
    sizes = sorted(map(int, found["warm"]))
    least, most = (found["warm"][str(size)] for size in (sizes[0], sizes[-1]))
    drain, show = "drain", "GET an old order"
    return (
        f"from {sizes[0]:,} to {sizes[-1]:,} stored orders a drain goes from {least[drain]:,.0f} to {most[drain]:,.0f} "
        f"µs an order, the GET of an old one from {least[show]:,.0f} to {most[show]:,.0f} µs"
    )


def _coldstart(found: Figures) -> str:
    return (
        f"{found['post_cpu_ms']:.0f} ms of processor time to the first POST's answer, {found['batch_cpu_ms']:.0f} ms "
        "to the first batch's"
    )


def _aws_calls(found: Figures) -> str:
    return (
        f"{found['push engine 10']:.0f} µs of processor time a pushed frame, ten side by side; "
        f"{found['push sdk 10']:,.0f} µs with boto3"
    )


def _quotes(found: Figures) -> str:
    return (
        f"{found['CPMM quote']['µs']:.1f} µs for the quote of a CPMM pool, {found['DLMM quote']['µs']:.1f} µs for that "
        f"of a DLMM pool over 20 bins; {found['split, warm']['µs']:.0f} µs for a split over four pools"
    )


def _cost(found: Figures) -> str:
    metered, naive = found["metered"]["512"], found["naive"]
    month = found.get("all", {}).get("1000000")
    whole = f"; ${month:,.0f} all in where a million come a month" if month else ""
    return (
        f"${metered['10']:.2f} of requests and compute for a million unwatched orders that come ten to a batch, "
        f"${metered['1']:.2f} one by one; the naive port, one by one too, ${naive['naive']:.2f}{whole}"
    )


def _capacity(found: Figures) -> str:
    first, second = sorted(found["breaks_at"].items(), key=lambda each: each[1])[:2]
    return (
        f"with the template's defaults {first[0]} ends it at {first[1]:,.0f} orders/s, then {second[0]} at "
        f"{second[1]:,.0f}; 1,000 orders/s need {found['stages']['1000']['cores']:.1f} database cores"
    )


ANSWERS: dict[str, Callable[[Figures], str]] = {
    "drain": _drain,
    "latency": _latency,
    "accept": _accept,
    "stream": _stream,
    "scale": _scale,
    "million": _scale,
    "coldstart": _coldstart,
    "aws_calls": _aws_calls,
    "quotes": _quotes,
    "cost": _cost,
    "capacity": _capacity,
}
