"""Credentials and region as botocore finds them: profiles, roles, sign-ons, metadata services.

Imported where the environment doesn't name them: botocore's session takes a tenth of a second to import.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from chalicelib.aws.signature import Keys
from chalicelib.domain.errors import ConfigurationError


class Provider:
    """One botocore session. All of it may block, and raises ConfigurationError."""

    def __init__(self) -> None:
        self._session = Session()

    def region(self) -> str:
        """Empty where no configuration names one."""
        with _explained():
            return str(self._session.get_config_variable("region") or "")

    @cached_property
    def credentials(self) -> Credentials | None:
        """None where nothing holds any."""
        with _explained():
            return self._session.get_credentials()

    def current(self) -> Keys | None:
        """Credentials that are valid now: expired ones are fetched anew. None where there are none."""
        with _explained():
            found = self.credentials and self.credentials.get_frozen_credentials()
        if not (found and found.access_key and found.secret_key):
            return None
        return Keys(found.access_key, found.secret_key, found.token or "")


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise ConfigurationError(f"AWS settings: {error}") from error
