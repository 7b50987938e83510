"""Edges as their operators run them: processes of their own, on free ports of loopback."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from support.processes import Process, free_port, source_environment, wait_until
from support.sip_client import SipClient

DOMAIN = "voip.example"
START_LIMIT_S = 20.0


class RunningEdge(Process):
    """One `sipreg edge`, with UDP and TCP on the same port."""

    def __init__(
        self,
        folder: Path,
        store: str,
        *,
        name: str = "edge",
        host: str = "127.0.0.1",
        auth: str = "digest",
        workers: int = 1,
        domain: str = DOMAIN,
        options: Sequence[str] = (),
        config: str = "",
    ) -> None:
        """Start it and wait until it is ready.

        Args:
            folder: for its log and configuration.
            store: URL of its store.
            name: node id, and name of its log.
            host: address that it listens on.
            auth: ``digest`` or ``off``.
            workers: processes.
            domain: that it serves.
            options: more arguments.
            config: text of a TOML file, "" for none.
        """
        self.host = host
        self.port = free_port(host)
        self.http = free_port()
        at = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        arguments = ["--listen", f"udp:{at}", "--listen", f"tcp:{at}", "--http", f"127.0.0.1:{self.http}", "--store", store]
        arguments += ["--domain", domain, "--auth", auth, "--workers", str(workers), "--node-id", name, *options]
        if config:
            file = folder / f"{name}.toml"
            file.write_text(config)
            arguments += ["--config", str(file)]
        super().__init__([sys.executable, "-m", "sipreg_cli", "edge", *arguments], folder / f"{name}.log")
        try:
            wait_until(self._is_ready, START_LIMIT_S, f"{name} to be ready")
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}; it wrote:\n{self.output()[-4000:]}") from None

    def _is_ready(self) -> bool:
        if self.returncode is not None:
            raise AssertionError(f"the edge ended with {self.returncode}")
        return self.get("/readyz")[0] == 200

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of an HTTP request to its probes; (0, "") if nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, line: str) -> float:
        """Return the value of the metric whose name and labels are ``line``, 0.0 where it is not shown."""
        for shown in self.get("/metrics")[1].splitlines():
            name, _, value = shown.rpartition(" ")
            if name == line:
                return float(value)
        return 0.0

    def client(self, transport: str = "udp") -> SipClient:
        """Open a client's socket to it."""
        return SipClient(self.port, host=self.host, transport=transport)


@contextmanager
def running_edges(folder: Path, store: str, count: int, **options: object) -> Iterator[list[RunningEdge]]:
    """Run several edges on one store, ``edge-1`` and on, and stop them in the end."""
    edges: list[RunningEdge] = []
    try:
        for number in range(1, count + 1):
            edges.append(RunningEdge(folder, store, name=f"edge-{number}", **options))  # type: ignore[arg-type]  # (the options of RunningEdge)
        yield edges
    finally:
        for edge in edges:
            edge.stop()


def add_subscriber(store: str, user: str, password: str, domain: str = DOMAIN, *options: str) -> None:
    """Create a subscriber as an operator does."""
    command = [sys.executable, "-m", "sipreg_cli", "subscriber", "add", f"{user}@{domain}"]
    command += ["--password", password, "--store", store, *options]
    done = subprocess.run(command, env=source_environment(), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def run_sipreg(*arguments: str, limit_s: float = 30.0) -> subprocess.CompletedProcess[str]:
    """Run a command of sipreg to its end, and return its exit status and what it wrote."""
    command = [sys.executable, "-m", "sipreg_cli", *arguments]
    return subprocess.run(command, env=source_environment(), capture_output=True, text=True, timeout=limit_s, check=False)


class RunningUp(Process):
    """One `sipreg up`, on free ports and on a store of its own."""

    def __init__(self, folder: Path, store: str, *options: str, ports: tuple[int, int] | None = None) -> None:
        """Start it and wait until it says that it is up.

        Args:
            folder: for its log, which is begun anew.
            store: setting store.url.
            options: more arguments.
            ports: of SIP and of HTTP; free ones if None.
        """
        self.port, self.http = ports or (free_port(), free_port())
        at = f"127.0.0.1:{self.port}"
        arguments = ["--listen", f"udp:{at}", "--listen", f"tcp:{at}", "--http", f"127.0.0.1:{self.http}", "--store", store, *options]
        super().__init__([sys.executable, "-m", "sipreg_cli", "up", *arguments], folder / "up.log")
        try:
            self.wait_for_line("Stop with Ctrl-C", START_LIMIT_S)
        except AssertionError:
            self.stop()
            raise

    def passwords(self) -> dict[str, str]:
        """Return the passwords that it has told, by user."""
        return dict(re.findall(r"user name (\S+) +password (\S+)", self.output()))

    def bindings(self, user: str, domain: str = "127.0.0.1") -> dict[str, int]:
        """Return what its API shows of an address of record: contact to seconds left."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/v1/aors/{user}@{domain}/bindings", timeout=5) as answer:
            return {binding["contact"]: binding["expires_in_s"] for binding in json.load(answer)["bindings"]}

    def client(self, transport: str = "udp") -> SipClient:
        """Open a client's socket to it."""
        return SipClient(self.port, transport=transport)


class RunningApi(Process):
    """One `sipreg api` on a free port."""

    def __init__(self, folder: Path, store: str, *options: str, token: str = "", name: str = "api") -> None:
        """Start it and wait until it is ready.

        Args:
            folder: for its log.
            store: URL of its store.
            options: more arguments.
            token: bearer token that it asks for, and that `ask` shows; "" for none.
            name: of its log.
        """
        self.http = free_port()
        self.token = token
        arguments = [sys.executable, "-m", "sipreg_cli", "api", "--http", f"127.0.0.1:{self.http}", "--store", store, *options]
        super().__init__(arguments, folder / f"{name}.log", source_environment({"SIPREG_API__TOKEN": token}))
        try:
            wait_until(self._is_ready, START_LIMIT_S, f"{name} to be ready")
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}; it wrote:\n{self.output()[-4000:]}") from None

    def _is_ready(self) -> bool:
        if self.returncode is not None:
            raise AssertionError(f"the API ended with {self.returncode}")
        try:
            return self.ask("GET", "/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def ask(self, method: str, path: str, **options: str | Mapping[str, str] | Mapping[str, bytes]) -> httpx.Response:
        """Send a request, with the token if there is one, and return the response; ``options`` are those of httpx."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return httpx.request(method, f"http://127.0.0.1:{self.http}{path}", timeout=10, **{"headers": headers, **options})  # type: ignore[arg-type]  # (httpx has a type for each option)

    def bindings(self, aor: str) -> list[dict[str, Any]]:
        """Return the bindings that it shows of an address of record."""
        response = self.ask("GET", f"/v1/aors/{aor}/bindings")
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()["bindings"]
        return found
