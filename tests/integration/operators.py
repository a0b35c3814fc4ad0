"""An operator, and orders for one to look after."""

import json
import re
from typing import Any

import pytest

from chalicelib.execution.executor import PARK_SECONDS
from operations.__main__ import main
from tests.integration.faults import LEASE_OVER, Chain
from tests.integration.rig import Rig


class Operator:
    """Runs the command as a shell does."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str]:
        """Exit status and all that was printed."""
        self._capsys.readouterr()
        status = main(arguments)
        printed = self._capsys.readouterr()
        return status, printed.out + printed.err

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json")[1])

    def conclusion(self, order_id: str) -> str:
        """The sentence that `explain` ends in."""
        status, text = self("explain", order_id)
        assert status == 0, text
        last = text.rstrip().splitlines()[-1]
        assert _timeless(last) == _timeless(self.json("explain", order_id)["conclusion"])
        return last


def _timeless(sentence: str) -> str:
    return re.sub(r"\((?:in )?\d+ \w+(?: ago)?\)", "", sentence)


def park(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> str:
    """An order whose transaction the chain does not know long after its validity."""
    order_id = rig.post()
    rig.invoke(order_id)
    with monkeypatch.context() as patched:
        Chain(patched)
        rig.advance(LEASE_OVER + PARK_SECONDS + 60)
        rig.invoke(order_id)
    assert rig.row(order_id)["parked_at"]
    rig.bodies("orders")
    return order_id


def fail(rig: Rig) -> str:
    order_id = rig.post(tokenOut="FAIL")
    assert rig.settle(order_id)["status"] == "failed"
    rig.bodies("orders")
    return order_id
