"""Pushes to sockets through API Gateway's management API."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from urllib.parse import quote

import boto3
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, NoCredentialsError, NoRegionError

from chalicelib.domain.errors import ConnectionGone, PushError

# Pushes under way at once: more than a publisher starts in one pass, so that stalled sockets leave threads for others.
SIDE_BY_SIDE = 128
HTTP_OK = 200
HTTP_GONE = 410


class Push:
    """PostToConnection, signed by botocore and sent over kept connections: a fraction of the SDK call's time."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._pool = urllib3.PoolManager(maxsize=SIDE_BY_SIDE, retries=False)
        self._threads = ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="push")

    async def push(self, connection_id: str, data: bytes, seconds: float) -> None:
        """Send one frame. Raises ConnectionGone on 410, PushError on any other failure or after `seconds`."""
        until = time.monotonic() + seconds
        await asyncio.get_running_loop().run_in_executor(self._threads, self._post, connection_id, data, until)

    @cached_property
    def _signer(self) -> SigV4Auth:
        session = boto3.Session()
        credentials = session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        if not session.region_name:
            raise NoRegionError
        return SigV4Auth(credentials, "execute-api", session.region_name)

    def _post(self, connection_id: str, data: bytes, until: float) -> None:
        if not self._endpoint:
            raise PushError("push: PUSH_ENDPOINT is not set")
        # The time in the queue counts: a pass of pushes ends when it was told to.
        left = until - time.monotonic()
        if left <= 0:
            raise PushError("push: no time left")
        # The path is signed as it is sent: ids hold characters such as = that must be escaped once.
        url = f"{self._endpoint}/@connections/{quote(connection_id, safe='')}"
        request = AWSRequest("POST", url, data=data, headers={"Content-Type": "application/json"})
        try:
            self._signer.add_auth(request)
            reply = self._pool.request(
                "POST", url, body=data, headers=dict(request.headers.items()), timeout=urllib3.Timeout(total=left)
            )
        except (BotoCoreError, urllib3.exceptions.HTTPError) as error:
            raise PushError(f"push: {error}") from error
        if reply.status == HTTP_GONE:
            raise ConnectionGone(f"socket {connection_id} is gone")
        if reply.status != HTTP_OK:
            raise PushError(f"push: status {reply.status}")
