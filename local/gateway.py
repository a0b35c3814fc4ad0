"""What API Gateway does in front of the functions and the emulator leaves out, read from the packaged template."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The gateway response behind the error type that a gateway puts into x-amzn-ErrorType.
TYPES = {
    "MissingAuthenticationTokenException": "MISSING_AUTHENTICATION_TOKEN",
    "NotFoundException": "RESOURCE_NOT_FOUND",
    "RequestEntityTooLargeException": "REQUEST_TOO_LARGE",
    "TooManyRequestsException": "THROTTLED",
    "LimitExceededException": "QUOTA_EXCEEDED",
}
STATUSES = {"DEFAULT_4XX": 400, "DEFAULT_5XX": 500}
SERVER_ERROR = 500


@dataclass(frozen=True)
class Answer:
    """A response that the gateway gives by itself."""

    status: int
    body: str
    headers: Mapping[str, str]


class Gateway:
    """The REST API's paths and its own responses, as the template defines them."""

    def __init__(self, template: Mapping[str, Any]) -> None:
        properties = template["Resources"]["RestAPI"]["Properties"]
        self._responses: Mapping[str, Any] = properties["GatewayResponses"]
        paths: Mapping[str, Any] = properties["DefinitionBody"]["paths"]
        # A literal path goes before one with placeholders, whatever their methods.
        ordered = sorted(paths, key=lambda path: path.count("{"))
        self._resources = [(_pattern(path), {method.upper() for method in paths[path]}) for path in ordered]

    def routes(self, method: str, path: str) -> bool:
        """Whether a function answers this method and raw path."""
        for pattern, methods in self._resources:
            if pattern.fullmatch(path):
                return method in methods
        return False

    def answer(self, kind: str, message: str = "", status: int | None = None) -> Answer:
        """The gateway response of this type; `status` is the type's own where the template sets none."""
        response = self._responses.get(kind)
        if response is None:
            kind = "DEFAULT_5XX" if (status or 0) >= SERVER_ERROR else "DEFAULT_4XX"
            response = self._responses[kind]
        template = response["ResponseTemplates"]["application/json"]
        body = template.replace("$context.error.messageString", json.dumps(message))
        headers: Mapping[str, str] = response.get("ResponseParameters", {}).get("Headers", {})
        return Answer(
            int(response.get("StatusCode") or status or STATUSES[kind]),
            body,
            # The template quotes what is meant literally.
            {name: value.strip("'") for name, value in headers.items()},
        )


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("/".join("[^/]+" if part.startswith("{") else re.escape(part) for part in path.split("/")))
