"""What a container's parts share, and what is left of them when it ends."""

import asyncio
import json
from pathlib import Path

import pytest

from chalicelib import bootstrap
from tests.integration.rig import Rig, eventually
from tests.integration.service import reply, serving


async def test_a_container_that_ends_leaves_no_connection(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(reply(b'{"Successful": []}')) as (service, address):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        monkeypatch.setenv("PUSH_ENDPOINT", f"http://{address}/api")
        await asyncio.to_thread(lambda: rig.bind(rig.post()))
        # Held here, so that no garbage collection closes what it holds.
        engine = bootstrap.engine()
        assert ({each.path.partition("@")[0] for each in service.received}, service.connections) == ({"/", "/api/"}, 2)
        assert service.ended == 0
        await asyncio.to_thread(bootstrap.close)
        await service.has(ended=2)
        assert not engine.loop.thread.is_alive()
        eventually(rig.alone)


def test_queues_and_pushes_are_called_in_the_name_of_one_identity(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    keys = json.dumps({"Version": 1, "AccessKeyId": "AKIA1", "SecretAccessKey": "secret"})
    tell = tmp_path / "tell"
    tell.write_text(f"#!/bin/sh\necho asked >> {asked}\necho '{keys}'\n")
    tell.chmod(0o700)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {tell}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    order_id = rig.post()
    assert rig.bodies("orders") == [order_id]
    assert rig.statuses(rig.bind(order_id)) == ["pending"]
    assert "Credential=AKIA1/" in rig.gateway.signatures[-1]
    assert asked.read_text().splitlines() == ["asked"]
