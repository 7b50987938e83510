"""An HTTP listener within a process that has other things to do as well."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from sipreg.errors import SettingWrong
from sipreg.settings import HttpAddress


class _QuietServer(uvicorn.Server):
    """A uvicorn server that leaves the signals to the process that it is part of."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpListener:
    """An ASGI application on an address, from `start` to `stop`."""

    def __init__(self, app: Any, address: HttpAddress, setting: str) -> None:  # noqa: ANN401 (ASGI applications have no common type)
        """Take the application and where it shall listen; ``setting`` is named if it cannot."""
        self.address = address
        self._setting = setting
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=3)
        self._server = _QuietServer(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            SettingWrong: the address cannot be bound.
        """
        sock = self._bound()
        self._task = asyncio.create_task(self._server.serve([sock]), name=f"http {self.address}")
        while not self._server.started:
            done, _ = await asyncio.wait([self._task], timeout=0.01)
            if done:
                sock.close()
                raise SettingWrong(f"{self._setting} {self.address}: the HTTP server did not start")

    def _bound(self) -> socket.socket:
        """Bind here and not in uvicorn, which would log an error of its own and end the process."""
        sock = socket.socket(self.address.family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.address.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((self.address.host, self.address.port))
        except OSError as error:
            sock.close()
            raise SettingWrong(f"{self._setting} {self.address}: {error.strerror}") from error
        return sock

    async def stop(self) -> None:
        """Answer what is under way, and close."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
