"""Deploys the engine: package, upload, create or update the stack, wait, print its outputs.

`python -m infrastructure.deploy --stack NAME [--endpoint URL] [--parameters NAME=VALUE …]` does the same to AWS and to
an emulator; --endpoint, or AWS_ENDPOINT_URL, decides. DATABASE_URL gives the parameter DatabaseUrl, so that it need not
be an argument. What an update doesn't name keeps its value.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infrastructure.clients import client, region
from infrastructure.package import Package, PackageError, build

CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
# A stack in these states was never complete; CloudFormation lets it only be deleted.
STILLBORN = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED", "REVIEW_IN_PROGRESS"})
GONE = "DELETE_COMPLETE"


class DeployError(Exception):
    """The stack could not be deployed; the message names the resource and its reason."""


@dataclass(frozen=True)
class Deployment:
    """One stack, at AWS or at an emulator."""

    stack: str
    endpoint: str | None = None
    poll_seconds: float = 3.0

    def deploy(self, package: Package, parameters: Mapping[str, str]) -> dict[str, str]:
        """Creates the stack or updates it to the package and parameters; returns its outputs."""
        parameters = {**self._defaults(), **parameters}
        _check_names(package, parameters)
        template = self._uploaded(package)
        cloudformation = client("cloudformation", self.endpoint)
        self._settled(cloudformation)
        status = self._status(cloudformation)
        if status in STILLBORN:
            cloudformation.delete_stack(StackName=self.stack)
            self._wait(cloudformation, GONE)
            status = GONE
        request = {"StackName": self.stack, "TemplateBody": template, "Capabilities": CAPABILITIES}
        if status == GONE:
            _check_whole(package, parameters)
            cloudformation.create_stack(**request, Parameters=_given(parameters))
            self._wait(cloudformation, "CREATE_COMPLETE")
        elif self._update(cloudformation, request, template, parameters):
            self._wait(cloudformation, "UPDATE_COMPLETE")
        return self.outputs()

    def outputs(self) -> dict[str, str]:
        """What the stack says about itself: URLs, queues, names."""
        found = self._described(client("cloudformation", self.endpoint)) or {}
        return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}

    def _defaults(self) -> dict[str, str]:
        if not self.endpoint:
            return {}
        # An emulator bounds concurrency by itself, and MiniStack stops polling where the bound is a parameter.
        return {"PushEndpoint": f"{self.endpoint.rstrip('/')}/_aws/execute-api", "MaximumConcurrency": "0"}

    def _uploaded(self, package: Package) -> str:
        """Uploads the archive; returns the template that runs from it."""
        account = client("sts", self.endpoint).get_caller_identity()["Account"]
        bucket = f"order-engine-artifacts-{account}-{region()}"
        key = f"{package.digest()}.zip"
        s3 = client("s3", self.endpoint)
        _ensure_bucket(s3, bucket)
        if not _exists(lambda: s3.head_object(Bucket=bucket, Key=key)):
            s3.upload_file(str(package.archive), bucket, key)
        template = package.template()
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::Serverless::Function":
                resource["Properties"]["CodeUri"] = f"s3://{bucket}/{key}"
        return json.dumps(template, separators=(",", ":"))

    def _update(self, cloudformation: Any, request: dict[str, Any], template: str, given: Mapping[str, str]) -> bool:
        known = {each["ParameterKey"] for each in (self._described(cloudformation) or {}).get("Parameters", [])}
        kept = sorted((known & json.loads(template)["Parameters"].keys()) - given.keys())
        parameters = [*_given(given), *({"ParameterKey": name, "UsePreviousValue": True} for name in kept)]
        try:
            cloudformation.update_stack(**request, Parameters=parameters)
        except ClientError as error:
            if "No updates are to be performed" in str(error):
                return False
            raise
        return True

    def _described(self, cloudformation: Any) -> dict[str, Any] | None:
        try:
            stacks: list[dict[str, Any]] = cloudformation.describe_stacks(StackName=self.stack)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return stacks[0] if stacks else None

    def _status(self, cloudformation: Any) -> str:
        found = self._described(cloudformation)
        return found["StackStatus"] if found else GONE

    def _settled(self, cloudformation: Any) -> str:
        """The stack's status as soon as nothing is under way."""
        while True:
            status = self._status(cloudformation)
            if not status.endswith("_IN_PROGRESS") or status == "REVIEW_IN_PROGRESS":
                return status
            time.sleep(self.poll_seconds)

    def _wait(self, cloudformation: Any, wanted: str) -> None:
        status = self._settled(cloudformation)
        if status != wanted:
            reasons = "\n".join(self._failures(cloudformation))
            raise DeployError(f"stack {self.stack} is {status}\n{reasons}".rstrip())

    def _failures(self, cloudformation: Any) -> list[str]:
        events = cloudformation.describe_stack_events(StackName=self.stack)["StackEvents"]
        failed = [each for each in events if each["ResourceStatus"].endswith("_FAILED")]
        # Cancelled neighbours of the failed resource say nothing.
        told = [each for each in failed if "cancelled" not in each.get("ResourceStatusReason", "cancelled").lower()]
        return [f"  {each['LogicalResourceId']}: {each['ResourceStatusReason']}" for each in told]


def _check_names(package: Package, parameters: Mapping[str, str]) -> None:
    known = package.template()["Parameters"]
    if unknown := sorted(parameters.keys() - known.keys()):
        raise DeployError(f"unknown parameter {', '.join(unknown)}; the template has {', '.join(known)}")


def _check_whole(package: Package, parameters: Mapping[str, str]) -> None:
    required = {name for name, each in package.template()["Parameters"].items() if "Default" not in each}
    if missing := sorted(required - parameters.keys()):
        raise DeployError(f"a new stack needs {', '.join(missing)}; DATABASE_URL in the environment sets DatabaseUrl")


def _given(parameters: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]


def _ensure_bucket(s3: Any, bucket: str) -> None:
    if _exists(lambda: s3.head_bucket(Bucket=bucket)):
        return
    # us-east-1 is the one region that must not be named.
    place = {} if region() == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region()}}
    s3.create_bucket(Bucket=bucket, **place)


def _exists(head: Callable[[], object]) -> bool:
    try:
        head()
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:  # noqa: PLR2004
            return False
        raise
    return True


def check_account() -> None:
    """Raises DeployError where the environment doesn't say into which account and region to deploy."""
    session = boto3.Session()
    if session.get_credentials() is None:
        raise DeployError("no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if not session.region_name:
        raise DeployError("no AWS region: set AWS_DEFAULT_REGION, or a region in the profile")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infrastructure.deploy", description="Deploys the engine.")
    parser.add_argument("--stack", required=True, help="name of the CloudFormation stack")
    parser.add_argument("--endpoint", default=os.environ.get("AWS_ENDPOINT_URL"), help="an emulator's URL; default AWS")
    parser.add_argument("--parameters", nargs="*", default=[], metavar="NAME=VALUE", help="parameters of the template")
    return parser.parse_args()


def main() -> int:
    """Deploys as the command line says."""
    arguments = _arguments()
    parameters = dict(each.partition("=")[::2] for each in arguments.parameters)
    if os.environ.get("DATABASE_URL"):
        parameters.setdefault("DatabaseUrl", os.environ["DATABASE_URL"])
    try:
        if not arguments.endpoint:
            check_account()
        outputs = Deployment(arguments.stack, arguments.endpoint or None).deploy(build(), parameters)
    except (PackageError, DeployError, ClientError, BotoCoreError) as error:
        print(error, file=sys.stderr)
        return 1
    for name, value in sorted(outputs.items()):
        print(f"{name:30} {value}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
