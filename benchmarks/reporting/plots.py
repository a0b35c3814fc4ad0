"""The pictures of docs/performance.md, as SVG that comes out the same for the same figures."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.reporting.report import FOUND, Result

INCHES = (8.0, 3.6)
Draw = Callable[[Figure, Mapping[str, Any]], None]


def draw(result: Result) -> list[tuple[str, Path]]:
    """Draw a benchmark's pictures; returns the text and the file of each."""
    pictures = []
    for name, text, drawing in PICTURES.get(result.name, ()):
        path = FOUND / f"{name}.svg"
        with mpl.rc_context(
            {"svg.hashsalt": name, "font.size": 9.0, "axes.spines.top": False, "axes.spines.right": False}
        ):
            figure = Figure(figsize=INCHES, layout="constrained")
            drawing(figure, result.figures)
            figure.savefig(path, metadata={"Date": None})
        pictures.append((text, path))
    return pictures


def stacked(axes: Axes, bars: Mapping[str, Mapping[str, float]], unit: str) -> None:
    """A horizontal bar a name, made of parts."""
    parts = list(dict.fromkeys(part for bar in bars.values() for part in bar))
    left = [0.0] * len(bars)
    for part in parts:
        widths = [bar.get(part, 0.0) for bar in bars.values()]
        axes.barh(list(bars), widths, left=left, label=part)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.legend(ncols=min(len(parts), 4), loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False)


def grouped(
    axes: Axes, names: Sequence[str], series: Mapping[str, Sequence[float]], unit: str, digits: int = 0
) -> None:
    """Vertical bars with their values: a group a name, a bar in it for each of the series."""
    width = 0.8 / len(series)
    for at, (label, values) in enumerate(series.items()):
        places = [place + (at - (len(series) - 1) / 2) * width for place in range(len(names))]
        bars = axes.bar(places, values, width, label=label)
        axes.bar_label(bars, fmt=f"{{:,.{digits}f}}", fontsize=7)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel(unit)
    axes.legend(frameon=False)


def lines(axes: Axes, series: Mapping[str, Mapping[str, float]], across: str, unit: str) -> None:
    """A line for each of the series, over numbers that each are ten times the one before or so."""
    for label, points in series.items():
        axes.plot([float(place) for place in points], list(points.values()), marker="o", label=label)
    axes.set_xscale("log")
    places = sorted({float(place) for points in series.values() for place in points})
    axes.set_xticks(places, [f"{place:,.0f}" for place in places], minor=False)
    axes.minorticks_off()
    axes.set_xlabel(across)
    axes.set_ylabel(unit)
    axes.set_ylim(0, 1.1 * max(value for points in series.values() for value in points.values()))
    axes.legend(frameon=False)


def _drain_rates(figure: Figure, figures: Mapping[str, Any]) -> None:
    kinds = list(dict.fromkeys(name.rpartition(", ")[0] for name in figures if ", " in name))
    sizes = list(figures["parts"])
    series = {kind: [figures[f"{kind}, {size}"]["rate"] for size in sizes] for kind in kinds}
    grouped(figure.subplots(), [f"batches of {size}" for size in sizes], series, "orders/s")


def _drain_parts(figure: Figure, figures: Mapping[str, Any]) -> None:
    bars = {f"batches of {size}": parts for size, parts in figures["parts"].items()}
    stacked(figure.subplots(), bars, "core-µs of a worker an order")


def _latency(figure: Figure, figures: Mapping[str, Any]) -> None:
    # Medians of stages do not add up.
    stages = next(iter(figures["stages"].values()))
    series = {who: [1000 * found[stage] for stage in stages] for who, found in figures["stages"].items()}
    grouped(figure.subplots(), list(stages), series, "ms, p50 of each stage")


def _accept(figure: Figure, figures: Mapping[str, Any]) -> None:
    many = figures["many"]
    axes = figure.subplots()
    axes.plot(many["orders"], many["µs"], marker="o")
    axes.set_ylim(0, 1.1 * max(many["µs"]))
    axes.set_xlabel("orders accepted by one process")
    axes.set_ylabel("µs an order")


def _stream(figure: Figure, figures: Mapping[str, Any]) -> None:
    names = [name for name in figures["commit to frame"] if name in figures]
    series = {"core-µs a frame": [figures[name]["client_us"] for name in names]}
    axes = figure.subplots()
    grouped(axes, [f"sockets: {name}" for name in names], series, "core-µs a frame")
    axes.axhline(figures["bare POST"], linestyle="--", color="grey", label="a bare POST")
    axes.axhline(figures["goal"]["cpu_us"], linestyle=":", color="black", label="goal")
    axes.legend(frameon=False)


def _scale(figure: Figure, figures: Mapping[str, Any]) -> None:
    # What is drained is fresh, never cold.
    kinds = list(next(iter(figures["cold"].values())))
    for axes, state in zip(figure.subplots(1, 2), ("warm", "cold"), strict=True):
        sizes = figures[state]
        lines(
            axes, {kind: {size: found[kind] for size, found in sizes.items()} for kind in kinds}, "stored orders", "µs"
        )
        axes.set_title(state)
        axes.get_legend().remove()
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)


def _coldstart(figure: Figure, figures: Mapping[str, Any]) -> None:
    memory = list(figures["post_first_ms"])
    series = {
        "initialisation": [figures["init_billed_ms"][size] for size in memory],
        "first POST after it": [figures["post_first_ms"][size] for size in memory],
        "first batch after it": [figures["batch_first_ms"][size] for size in memory],
    }
    grouped(figure.subplots(), [f"{size} MB" for size in memory], series, "ms")


def _aws_calls(figure: Figure, figures: Mapping[str, Any]) -> None:
    clients = {"engine": "the engine", "urllib3": "botocore's signer and urllib3", "sdk": "boto3"}
    counts = [name.rpartition(" ")[2] for name in figures if name.startswith("push engine")]
    series = {label: [figures[f"push {client} {count}"] for count in counts] for client, label in clients.items()}
    grouped(figure.subplots(), [f"{count} at once" for count in counts], series, "core-µs a push")


def _cost(figure: Figure, figures: Mapping[str, Any]) -> None:
    metered = figures["metered"]["512"]
    fills = [name for name in metered if ", " not in name]
    series = {
        "unwatched": [*(metered[fill] for fill in fills), figures["naive"]["naive"]],
        "watched": [*(metered[f"{fill}, watched"] for fill in fills), figures["naive"]["naive, watched"]],
    }
    names = [*(f"fill {fill}" for fill in fills), "naive, an order an invocation"]
    grouped(figure.subplots(), names, series, "metered $ a million, 512 MB", digits=2)


def _capacity(figure: Figure, figures: Mapping[str, Any]) -> None:
    series = {how: {rate: found["busy"] for rate, found in figures[how].items()} for how in ("predicted", "measured")}
    lines(figure.subplots(), series, "orders/s", "containers at work")


# By benchmark: the file's name, the text that stands for the picture, and who draws it.
PICTURES: dict[str, list[tuple[str, str, Draw]]] = {
    "drain": [
        ("drain", "Orders drained a second, beside the baselines", _drain_rates),
        ("drain-parts", "Where a worker's time goes", _drain_parts),
    ],
    "latency": [("latency", "What an order waits for, by stage", _latency)],
    "accept": [("accept", "Time an order takes to be accepted, over a hundred thousand of them", _accept)],
    "stream": [("stream", "Processor time of a frame", _stream)],
    "scale": [("scale", "Times by the number of stored orders", _scale)],
    "million": [("million", "Times by the number of stored orders, up to a million", _scale)],
    "coldstart": [("coldstart", "A cold start by memory", _coldstart)],
    "aws_calls": [("aws-calls", "Processor time of a push, by client", _aws_calls)],
    "cost": [("cost", "Dollars for a million orders", _cost)],
    "capacity": [("capacity", "Containers at work, predicted and measured", _capacity)],
}
