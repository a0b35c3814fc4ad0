"""The processes of a running stack, and killing them."""

import contextlib
from collections.abc import Iterator, Sequence

import psutil

from local.stack import Endpoints


def family(*pids: int) -> list[psutil.Process]:
    """Processes and all that they started."""
    found = [psutil.Process(pid) for pid in pids]
    return found + [child for process in found for child in process.children(recursive=True)]


def functions(endpoints: Endpoints, function: str) -> list[psutil.Process]:
    """The processes of a function."""
    found = []
    for process in psutil.Process(endpoints.pids["aws"]).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if f"-{function}-" in process.environ().get("AWS_LAMBDA_FUNCTION_NAME", ""):
                found.append(process)
    return found


def kill(processes: Sequence[psutil.Process]) -> None:
    """SIGKILL."""
    for process in processes:
        # One may end with the one before it.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@contextlib.contextmanager
def standing_still(processes: Sequence[psutil.Process]) -> Iterator[Sequence[psutil.Process]]:
    """The processes do not run while the body does."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield processes
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
