"""docker-compose.yml, read by a compose parser."""

import re
from typing import Any

import pytest
from compose_spec import PyCompose

from infrastructure.package import ROOT

TEXT = (ROOT / "docker-compose.yml").read_text()


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    compose = PyCompose.from_yaml(TEXT)
    compose.validate()
    found: dict[str, dict[str, Any]] = compose.to_dict()["services"]
    return found


def test_it_offers_a_database_and_two_emulators(services: dict[str, dict[str, Any]]) -> None:
    assert set(services) == {"postgres", "localstack", "ministack"}


def test_every_port_is_bound_to_this_machine(services: dict[str, dict[str, Any]]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(str(port).startswith("127.0.0.1:") for port in ports)
    assert len(set(ports)) == len(ports)


def test_localstack_takes_its_token_from_the_environment(services: dict[str, dict[str, Any]]) -> None:
    assert services["localstack"]["environment"]["LOCALSTACK_AUTH_TOKEN"] == "${LOCALSTACK_AUTH_TOKEN:-}"
    assert "profiles" not in services["localstack"]


def test_ministack_is_a_profile_that_needs_no_token(services: dict[str, dict[str, Any]]) -> None:
    assert services["ministack"]["profiles"] == ["ministack"]
    assert not any("TOKEN" in name for name in services["ministack"]["environment"])


def test_ministack_has_the_versions_that_the_tests_run_on() -> None:
    pinned = set((ROOT / "requirements-dev.txt").read_text().splitlines())
    named = set(re.findall(r"[\w-]+==[\d.]+", TEXT))
    assert named
    assert named <= pinned
