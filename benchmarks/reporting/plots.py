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


def grouped(axes: Axes, names: Sequence[str], series: Mapping[str, Sequence[float]], unit: str) -> None:
    """Vertical bars: a group a name, a bar in it for each of the series."""
    width = 0.8 / len(series)
    for at, (label, values) in enumerate(series.items()):
        places = [place + (at - (len(series) - 1) / 2) * width for place in range(len(names))]
        bars = axes.bar(places, values, width, label=label)
        axes.bar_label(bars, fmt="{:,.0f}", fontsize=7)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel(unit)
    axes.legend(frameon=False)


def lines(axes: Axes, series: Mapping[str, Mapping[str, float]], across: str, unit: str) -> None:
    """A line for each of the series, over numbers that each are ten times the one before or so."""
    for label, points in series.items():
        axes.plot([float(place) for place in points], list(points.values()), marker="o", label=label)
    axes.set_xscale("log")
    axes.set_xlabel(across)
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def _drain_rates(figure: Figure, figures: Mapping[str, Any]) -> None:
    kinds = list(dict.fromkeys(name.rpartition(", ")[0] for name in figures if ", " in name))
    sizes = list(figures["parts"])
    series = {kind: [figures[f"{kind}, {size}"]["rate"] for size in sizes] for kind in kinds}
    grouped(figure.subplots(), [f"batches of {size}" for size in sizes], series, "orders/s")


def _drain_parts(figure: Figure, figures: Mapping[str, Any]) -> None:
    bars = {f"batches of {size}": parts for size, parts in figures["parts"].items()}
    stacked(figure.subplots(), bars, "core-µs of a worker an order")


# By benchmark: the file's name, the text that stands for the picture, and who draws it.
PICTURES: dict[str, list[tuple[str, str, Draw]]] = {
    "drain": [
        ("drain", "Orders drained a second, beside the baselines", _drain_rates),
        ("drain-parts", "Where a worker's time goes", _drain_parts),
    ],
}
