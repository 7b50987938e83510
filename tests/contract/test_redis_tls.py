"""A server that speaks TLS: its certificate is checked, for the hot path and for all else."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from sipreg.errors import StoreUnavailable
from sipreg.registrar.ports import Verdict
from sipreg.store.address import parse_store_address
from sipreg.store.admin import admin_client
from sipreg.store.keys import Keys
from sipreg.store.link import LinkLimits
from sipreg.store.redis_store import RedisStore, link_to
from sipreg.tokens import RandomTokens
from support.processes import free_port
from support.programs import require_program
from support.redis_servers import redis_server
from support.stores import Bench, a_binding, an_aor


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Key and certificate for 127.0.0.1, signed by itself."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=store",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    openssl = require_program("openssl")
    subprocess.run([openssl, *request, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60)
    return key, certificate


def test_a_certificate_of_a_known_authority_is_accepted_and_any_other_refused(
    tmp_path: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    address = parse_store_address(f"rediss://127.0.0.1:{port}")

    async def scenario() -> None:
        store = RedisStore(link_to(address, LinkLimits(timeout_s=0.5)), Keys(), RandomTokens())
        with pytest.raises(StoreUnavailable, match="certificate verify failed"):
            await store.open()

        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[1]))
        store = RedisStore(link_to(address), Keys(), RandomTokens())
        await store.open()
        bench, aor = Bench(store), an_aor()
        outcomes = await asyncio.gather(*(bench.put(an_aor(), a_binding(user_agent="x" * 5000)) for _ in range(100)))
        assert outcomes == [Verdict.COMMITTED] * 100
        await bench.put(aor, a_binding())
        client = admin_client(address)
        assert await client.exists(Keys().record(aor)) == 1
        await client.aclose()
        await store.close()

    key, cert = map(str, certificate)
    tls = ["--tls-port", str(port), "--tls-key-file", key, "--tls-cert-file", cert, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no"]
    with redis_server(tmp_path, *tls):
        asyncio.run(scenario())
