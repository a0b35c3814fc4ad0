"""`python -m benchmarks.million`: the same as `benchmarks.scale` up to a million orders; takes several minutes."""

from benchmarks.reporting.report import Result, run
from benchmarks.scale import measured

SIZES = (10_000, 100_000, 1_000_000)


def measure() -> Result:
    """What a million stored orders do."""
    return measured("million", SIZES)


if __name__ == "__main__":
    raise SystemExit(run(measure, __doc__))
