"""Who calls AWS, and in which region."""

import asyncio
import os
from functools import cached_property
from typing import TYPE_CHECKING

from chalicelib.aws.signature import Keys
from chalicelib.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from chalicelib.aws.provider import Provider


class Identity:
    """Credentials and region, found on first use: in the environment, where Lambda has them, else by botocore."""

    @cached_property
    def region(self) -> str:
        """Raises ConfigurationError where none is named."""
        named = os.environ.get("AWS_DEFAULT_REGION") or self._provider.region()
        if not named:
            raise ConfigurationError("AWS settings: no region, set AWS_DEFAULT_REGION")
        return named

    def check(self) -> None:
        """Raises ConfigurationError where region or credentials can't be read; that there are none shows in a call."""
        _ = self.region, self._lasting or self._provider.credentials

    async def keys(self) -> Keys:
        """The credentials that are valid now. Raises ConfigurationError."""
        found = self._lasting or await asyncio.to_thread(self._current)
        if found is None:
            raise ConfigurationError("AWS settings: no credentials")
        return found

    @cached_property
    def _lasting(self) -> Keys | None:
        """As botocore reads the environment; None where it would look further, or read it again."""
        access_key, secret_key = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        if not (access_key and secret_key) or os.environ.get("AWS_CREDENTIAL_EXPIRATION"):
            return None
        token = os.environ.get("AWS_SECURITY_TOKEN") or os.environ.get("AWS_SESSION_TOKEN") or ""
        return Keys(access_key, secret_key, token)

    @cached_property
    def _provider(self) -> "Provider":
        from chalicelib.aws.provider import Provider  # noqa: PLC0415 - it says itself why

        return Provider()

    def _current(self) -> Keys | None:
        return self._provider.current()
