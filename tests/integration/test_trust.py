"""Certificates are verified, by the system's authorities or by those that AWS_CA_BUNDLE or SSL_CERT_FILE names."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chalicelib.aws.push import Push
from chalicelib.domain.errors import PushError, RpcUnavailable
from chalicelib.solana.rpc import Rpc
from tests.integration.service import reply, serving


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of localhost, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    plain = serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "test")


def server_side(certificate: Path) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    return tls


async def test_only_a_trusted_certificate_of_the_host_is_accepted(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    async with serving(reply(), tls=server_side(certificate)) as (service, address):
        with pytest.raises(PushError, match="certificate verify failed"):
            await Push(f"https://{address}").push("a-socket=", b"{}", 5)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        trusting = Push(f"https://{address}/stage")
        await trusting.push("a-socket=", b"1", 5)
        await trusting.push("a-socket=", b"2", 5)
        with pytest.raises(PushError, match="certificate verify failed"):
            await Push(f"https://{address.replace('localhost', '127.0.0.1')}").push("a-socket=", b"{}", 5)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate.with_name("none")))
        with pytest.raises(PushError, match="No such file"):
            await Push(f"https://{address}").push("a-socket=", b"{}", 5)
    assert [each.body for each in service.received] == [b"1", b"2"]
    assert {each.path for each in service.received} == {"/stage/@connections/a-socket%3D"}


async def test_a_connection_that_was_lost_while_it_was_idle_is_replaced(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    async with serving(reply(), tls=server_side(certificate)) as (service, address), serving(reply()) as (_, another):
        pushing, meanwhile = Push(f"https://{address}"), Push(f"http://{another}")
        for end in (lambda writer: writer.close(), lambda writer: writer.transport.abort()):
            await pushing.push("a-socket=", b"1", 5)
            end(service.writers[-1])
            # With this reply the loop has met the end, too.
            await meanwhile.push("another=", b"2", 5)
        await pushing.push("a-socket=", b"3", 5)
    assert (service.connections, len(service.received)) == (3, 3)


async def test_a_nodes_certificate_is_verified_by_authorities_of_its_own(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    until = asyncio.get_running_loop().time() + 20
    body = b'{"jsonrpc": "2.0", "id": 1, "result": {"context": {"slot": 7}, "value": []}}'
    async with serving(reply(body), tls=server_side(certificate)) as (service, address):
        with pytest.raises(RpcUnavailable, match="certificate verify failed"):
            await Rpc(f"https://{address}/key").accounts([], until)
        assert service.received == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert await Rpc(f"https://{address}/key").accounts([], until) == (7, {})
    assert service.received[0].path == "/key"
