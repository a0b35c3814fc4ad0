"""Signed POSTs to one AWS service."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from chalicelib.aws.identity import Identity
from chalicelib.aws.signature import signed
from chalicelib.domain.errors import ConfigurationError
from chalicelib.net.client import Client, Endpoint
from chalicelib.net.http import Reply


class SignedClient:
    """Used by one event loop only. `where` finds the service's URL, on first use."""

    def __init__(self, service: str, where: Callable[[], str], identity: Identity) -> None:
        self._service = service
        self._where = where
        self._identity = identity
        self._client = Client(self._found, authorities="AWS_CA_BUNDLE")

    @property
    def endpoint(self) -> Endpoint:
        """Raises ConfigurationError where the settings name none."""
        return self._client.endpoint

    async def close(self) -> None:
        """End the connections that idle; the next request opens another."""
        await self._client.close()

    async def post(
        self,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        connect_seconds: float | None = None,
        reply_seconds: float | None = None,
    ) -> Reply:
        """Send a request; returns whatever reply comes. Raises NoReply and ConfigurationError.

        `path` is escaped and follows the endpoint's own; names of `headers` are in lower case.
        """
        keys, region = await self._identity.keys(), self._identity.region
        path = self.endpoint.base + path

        def signature() -> dict[str, str]:
            # Signed when it is sent: a signature is good for some minutes.
            return signed(
                keys,
                region=region,
                service=self._service,
                path=path,
                headers={**headers, "host": self.endpoint.authority},
                body=body,
                now=datetime.now(UTC),
            )

        return await self._client.post(
            path, signature, body, connect_seconds=connect_seconds, reply_seconds=reply_seconds
        )

    def _found(self) -> Endpoint:
        url = self._where()
        try:
            return Endpoint.of(url)
        except ConfigurationError as error:
            raise ConfigurationError(f"AWS settings: {url!r} is {error}") from None
