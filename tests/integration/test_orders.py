"""An order's way through the handlers: real Postgres, SQS, and a gateway over HTTP."""

from tests.integration.rig import Rig

HAPPY = ["pending", "routing", "building", "submitted", "confirmed"]


def test_an_order_is_confirmed_and_every_step_streamed(rig: Rig) -> None:
    order_id = rig.post()
    socket = rig.bind(order_id)
    shown = rig.finish(order_id)
    assert shown["status"] == "confirmed"
    assert rig.statuses(socket) == HAPPY
