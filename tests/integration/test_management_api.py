"""Our signed requests against another implementation of the management API than this directory's own."""

import pytest

from chalicelib.aws.push import Push
from chalicelib.domain.errors import ConnectionGone, PushError
from tests.integration.rig import Rig
from tests.integration.service import reply, serving


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


async def test_a_push_is_not_tried_again_and_ends_in_its_time(rig: Rig) -> None:
    assert rig.queues
    for answer in (None, reply(status=500), b""):
        async with serving(answer) as (service, address):
            with pytest.raises(PushError):
                await Push(f"http://{address}").push("a-socket=", b"{}", 0.2)
            if answer is None:
                # Its reply may still come: the connection is for nobody else.
                await service.has(ended=1)
        assert len(service.received) == 1


async def test_a_push_without_time_is_not_sent(rig: Rig) -> None:
    assert rig.queues
    async with serving(reply()) as (service, address):
        with pytest.raises(PushError, match="no time left"):
            await Push(f"http://{address}").push("a-socket=", b"{}", 0)
    assert service.received == []


async def test_a_socket_that_is_gone_is_told_apart(rig: Rig) -> None:
    assert rig.queues
    async with serving(reply(status=410)) as (_, address):
        with pytest.raises(ConnectionGone):
            await Push(f"http://{address}").push("a-socket=", b"{}", 5)


async def test_without_a_region_nothing_is_connected_to(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rig.queues
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    async with serving(reply()) as (service, address):
        with pytest.raises(PushError, match="no region"):
            await Push(f"http://{address}").push("a-socket=", b"{}", 5)
    assert service.connections == 0
