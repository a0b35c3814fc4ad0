"""A Postgres that is reached as a deployed one is, over TCP with TLS and by a password; and its certificate.

The embedded Postgres is built without TLS, so a process in front of it ends that.
"""

import contextlib
import datetime
import ipaddress
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import botocore
import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from psycopg import sql

from benchmarks.surroundings.aside import HOST, Aside
from local.migrate import migrate
from local.postgres import EPHEMERAL, Postgres

DATABASE = "engine"
# What botocore trusts, as many certificates as a function's own system does.
TRUSTED = Path(botocore.__file__).parent / "cacert.pem"
DAYS = datetime.timedelta(days=2)
ROLE = sql.Identifier("engine")
# Whoever comes from outside shows a password as AWS's servers want it.
ACCESS = "local all engine scram-sha-256\nlocal all all trust\n"


@dataclass(frozen=True)
class Certificate:
    """A certificate for this machine, signed by itself."""

    certificate: Path
    key: Path
    # It and those that a machine trusts anyway, as many as a function reads.
    bundle: Path


@dataclass(frozen=True)
class Secured:
    """One migrated database, by either way."""

    over_tls: str
    over_socket: str
    certificate: Certificate


@contextlib.contextmanager
def secured() -> Iterator[Secured]:
    """A server of its own with fresh data that nobody will miss."""
    with contextlib.ExitStack() as parts:
        home = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="engine-secured-")))
        access = home / "pg_hba.conf"
        access.write_text(ACCESS)
        settings = EPHEMERAL | {"hba_file": str(access)}
        server = parts.enter_context(Postgres(home / "data", home / "postgres.log", settings))
        over_socket, password = server.ensure_database(DATABASE), secrets.token_hex(16)
        migrate(over_socket)
        with psycopg.connect(over_socket) as connection:
            connection.execute(sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}").format(ROLE, password))
            path = f"{connection.info.host}/.s.PGSQL.{connection.info.port}"
        certificate = certify(home)
        files = str(certificate.certificate), str(certificate.key)
        terminator = parts.enter_context(Aside("benchmarks.surroundings.terminator", *files, path))
        checked = f"sslmode=verify-full&sslrootcert={quote(str(certificate.certificate))}"
        address = f"{HOST}:{terminator.ports[0]}"
        over_tls = f"postgresql://engine:{password}@{address}/{DATABASE}?{checked}"
        yield Secured(over_tls, over_socket, certificate)


def certify(home: Path) -> Certificate:
    """A new certificate, its key and a bundle, as files in `home`."""
    # As large as those of AWS's databases.
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "order-engine benchmarks")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAYS)
        .not_valid_after(now + DAYS)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    made = Certificate(home / "server.crt", home / "server.key", home / "bundle.pem")
    made.certificate.write_bytes(certificate)
    made.bundle.write_bytes(TRUSTED.read_bytes() + certificate)
    unencrypted = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted)
    made.key.write_bytes(pem)
    return made
