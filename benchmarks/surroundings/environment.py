"""The environment of a container: nothing of whoever runs the benchmarks may change what is measured."""

import os

# What Python and the programs that it starts are found and speak by.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")
CALLER = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
}


def inherited() -> dict[str, str]:
    """What every container has, and credentials that the surroundings take."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ} | CALLER
