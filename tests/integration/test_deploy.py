"""Deploying to the embedded AWS: once, again, with other parameters, and in vain."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infrastructure.clients import client
from infrastructure.deploy import DeployError, Deployment
from infrastructure.package import Package, build
from local.aws import MiniStack, MiniStackError, free_port, port_taken

PARAMETERS = {"DatabaseUrl": "postgresql://nowhere/one", "VenueSeed": "first"}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    home = tmp_path_factory.mktemp("aws")
    with MiniStack(free_port(), home / "scratch", home / "log") as aws:
        yield aws


@pytest.fixture(scope="module")
def deployment(aws: MiniStack) -> Deployment:
    return Deployment("trial", aws.endpoint, poll_seconds=0.1)


@pytest.fixture(scope="module")
def package() -> Package:
    return build()


def environment(deployment: Deployment, outputs: dict[str, str]) -> dict[str, str]:
    functions = client("lambda", deployment.endpoint)
    found: dict[str, Any] = functions.get_function_configuration(FunctionName=outputs["WorkerName"])
    variables: dict[str, str] = found["Environment"]["Variables"]
    return variables


def test_a_stack_is_created_left_alone_and_updated(deployment: Deployment, package: Package) -> None:
    created = deployment.deploy(package, PARAMETERS)
    assert created["OrdersQueueUrl"].endswith("/trial-orders")
    assert environment(deployment, created)["VENUE_SEED"] == "first"

    assert deployment.deploy(package, {}) == created

    updated = deployment.deploy(package, {"VenueSeed": "second"})
    variables = environment(deployment, updated)
    assert (variables["VENUE_SEED"], variables["DATABASE_URL"]) == ("second", PARAMETERS["DatabaseUrl"])
    assert updated["WorkerName"] == created["WorkerName"]


def test_a_failure_names_the_resource_and_can_be_put_right(
    deployment: Deployment, package: Package, tmp_path: Path
) -> None:
    broken = package.template()
    broken["Resources"]["OrdersQueue"]["Properties"]["VisibilityTimeout"] = 10**6
    (tmp_path / "template.json").write_text(json.dumps(broken))
    other = replace(deployment, stack="broken")
    with pytest.raises(DeployError, match="OrdersQueue"):
        other.deploy(Package(tmp_path / "template.json", package.archive), PARAMETERS)
    assert other.deploy(package, PARAMETERS)["OrdersQueueUrl"].endswith("/broken-orders")


def test_the_archive_is_uploaded_once_by_its_contents(deployment: Deployment, package: Package) -> None:
    deployment.deploy(package, PARAMETERS)
    s3 = client("s3", deployment.endpoint)
    (bucket,) = [each["Name"] for each in s3.list_buckets()["Buckets"]]
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [f"{package.digest()}.zip"]


def test_a_port_that_is_taken_is_named(aws: MiniStack, tmp_path: Path) -> None:
    port = int(aws.endpoint.rpartition(":")[2])
    assert port_taken(port)
    with pytest.raises(MiniStackError, match=f"port {port} is taken"):
        MiniStack(port, tmp_path / "scratch", tmp_path / "log").start()
