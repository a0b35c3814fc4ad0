"""Our signed requests against another implementation of the management API than this directory's own."""

import pytest

from chalicelib.aws.push import Push
from chalicelib.domain.errors import PushError
from tests.integration.rig import Rig


async def test_a_push_is_taken_by_moto(rig: Rig, aws_endpoint: str) -> None:
    assert rig.queues
    await Push(aws_endpoint).push("a-socket=", b'{"seq":1}', 5)


async def test_a_push_to_nobody_is_a_push_error(rig: Rig) -> None:
    assert rig.queues
    with pytest.raises(PushError):
        await Push("http://127.0.0.1:9/api").push("a-socket=", b"{}", 5)


async def test_a_push_without_an_endpoint_is_a_push_error(rig: Rig) -> None:
    assert rig.queues
    with pytest.raises(PushError):
        await Push("").push("a-socket=", b"{}", 5)
