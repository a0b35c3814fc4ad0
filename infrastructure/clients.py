"""Clients of the AWS services that packaging and local tooling use."""

from typing import Any

import boto3
from localstack_client.session import Session

# An emulator's, where the environment names none.
EMULATED_REGION = "us-east-1"


def region() -> str:
    """The region that the environment, or the profile that it names, is set to."""
    return boto3.Session().region_name or EMULATED_REGION


def client(service: str, endpoint: str | None) -> Any:
    """A client of one service: of AWS, or of the emulator at `endpoint`."""
    if not endpoint:
        # The stubs allow only literal names of services.
        connect: Any = boto3.client
        return connect(service, region_name=region())
    session = Session(
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - an emulator's, not a secret
        region_name=region(),
        localstack_host=endpoint.removeprefix("https://").removeprefix("http://"),
    )
    return session.client(service)
