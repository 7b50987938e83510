"""The floor that every figure is held against: a UDP echo that drains its socket in one callback, the least that Python can do.

Run as ``python -m sipreg_cli.bench.echo``: binds a free port of 127.0.0.1, prints its number, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Final

DRAIN: Final = 64
"""Datagrams taken per wake-up; then the loop gets a turn, as it must in a server that has other things to do."""

_RECEIVED: Final = 4096
_BUFFER: Final = 4 << 20


def echo(sock: socket.socket) -> None:
    """Send back what waits in the socket, at most `DRAIN` datagrams."""
    try:
        for _ in range(DRAIN):
            data, source = sock.recvfrom(_RECEIVED)
            sock.sendto(data, source)
    except BlockingIOError:
        pass


async def serve(sock: socket.socket) -> None:
    """Echo until standard input ends."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    loop.add_reader(sock, echo, sock)
    loop.add_reader(sys.stdin, done.set)
    try:
        await done.wait()
    finally:
        loop.remove_reader(sock)
        loop.remove_reader(sys.stdin)


def main() -> None:
    """Bind, say where, and serve."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        print(sock.getsockname()[1], flush=True)
        asyncio.run(serve(sock))


if __name__ == "__main__":
    main()
