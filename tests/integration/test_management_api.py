"""Our signed requests against another implementation of the management API than this directory's own."""

import asyncio

import pytest

from chalicelib.aws import signed
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


async def test_stalled_sockets_leave_room_for_others_and_more_wait_for_it(rig: Rig) -> None:
    assert rig.queues
    stalls = [None] * signed.SIDE_BY_SIDE
    async with serving(*stalls, reply()) as (service, address), serving(reply()) as (_, another):
        push = Push(f"http://{address}")
        stalled = [asyncio.create_task(push.push("stalled", b"{}", 30)) for _ in range(signed.SIDE_BY_SIDE)]
        waiting = asyncio.create_task(push.push("waiting", b"{}", 30))
        await service.has(requests=signed.SIDE_BY_SIDE)
        # With this reply the loop has come by whatever else could be sent.
        await Push(f"http://{another}").push("another", b"{}", 30)
        assert len(service.received) == signed.SIDE_BY_SIDE
        stalled[0].cancel()
        await waiting
        for task in stalled:
            task.cancel()
        await asyncio.wait(stalled)
    assert service.received[-1].path == "/@connections/waiting"


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
