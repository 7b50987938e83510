"""The workers of an edge: one in this process, or several processes that share the listeners' addresses.

A process that serves as a worker ends when its parent does, however that ended: the pipe between them closes. A worker that ends by
itself is started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import signal
import socket
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Final

import msgspec

from sip_edge.app import create_edge
from sip_edge.edge import Edge
from sip_edge.metrics import Figures
from sip_edge.udp import bind
from sipreg.composition import Stores, open_stores
from sipreg.errors import SettingWrong, SipregError
from sipreg.logs import set_up_logging
from sipreg.loop import run_loop
from sipreg.settings import Settings

logger = logging.getLogger("sipreg.edge")

_ASK: Final = b"figures"
_STOP: Final = b"stop"
ANSWER_LIMIT_S = 2.0
RESTART_S = 1.0
START_LIMIT_S = 30.0


class Status(msgspec.Struct):
    """What a worker says of itself."""

    available: bool
    figures: Figures
    sockets: list[str] = []
    wrong: str = ""
    """Why it could not start."""


class LocalWorker:
    """The one worker of an edge that runs in this process."""

    def __init__(self, settings: Settings, stores: Stores) -> None:
        """Bind the listeners.

        Raises:
            SettingWrong: an address cannot be bound.
        """
        self._edge: Edge = create_edge(settings, stores, shared=False)

    @property
    def sockets(self) -> list[str]:
        """What is listened on."""
        return list(self._edge.sockets)

    async def start(self) -> None:
        """Serve."""
        await self._edge.start()
        gc.collect()
        gc.freeze()  # what was made so far stays; the collector need not look at it again

    async def stop(self) -> None:
        """Drain."""
        await self._edge.drain()

    async def available(self) -> bool:
        """Whether requests are welcome and the store answers."""
        return self._edge.available

    async def figures(self) -> Figures:
        """Its figures."""
        return self._edge.figures()


class WorkerPool:
    """Several workers, each a process."""

    def __init__(self, settings: Settings) -> None:
        """Take settings whose store every process can reach by its URL."""
        if settings.store.address.kind == "memory":
            raise SettingWrong("edge.workers: a memory store is one process; take another store, or one worker")
        self._settings = settings
        self._workers: list[_WorkerProcess] = []
        self._past = Figures()
        """What workers that are no more have counted, so that no counter of the whole ever falls."""
        self.sockets: list[str] = []
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start all workers, and wait until they serve.

        Raises:
            SettingWrong: a worker says so.
        """
        with contextlib.ExitStack() as held:
            settings = self._settings_with_ports(held)
        self._workers = [_WorkerProcess(settings, index) for index in range(settings.edge.workers)]
        statuses = await asyncio.gather(*(worker.started() for worker in self._workers))
        for status in statuses:
            if status.wrong:
                await self.stop()
                raise SettingWrong(status.wrong)
        self.sockets = statuses[0].sockets
        self._keeper = asyncio.create_task(self._keep(), name="workers")

    def _settings_with_ports(self, held: contextlib.ExitStack) -> Settings:
        """Settle ports that are left to the kernel here, so that all workers take the same.

        Workers share their addresses, and would share them with any other program of the same user: so they are bound once without
        sharing, which fails if they are taken. Those sockets are closed with ``held``, before the first worker binds: the kernel would
        give them their part of the datagrams.

        Raises:
            SettingWrong: an address cannot be bound.
        """
        listen = []
        for address in self._settings.edge.listen:
            sock = bind(address, socket.SOCK_DGRAM if address.transport == "udp" else socket.SOCK_STREAM, shared=False)
            held.enter_context(sock)
            listen.append(address.model_copy(update={"port": sock.getsockname()[1]}))
        edge = self._settings.edge.model_copy(update={"listen": tuple(listen)})
        return self._settings.model_copy(update={"edge": edge})

    async def _keep(self) -> None:
        """Start again whatever worker has ended."""
        while True:
            await asyncio.sleep(RESTART_S)
            ended = [index for index, worker in enumerate(self._workers) if not worker.is_alive]
            try:
                await asyncio.gather(*(self._start_again(index) for index in ended))
            except OSError:
                # No process or no memory to be had: perhaps the next time.
                logger.exception("a worker could not be started again")

    async def _start_again(self, index: int) -> None:
        worker = self._workers[index]
        logger.error("worker ended and is started again: worker=%d exit=%s", index, worker.exit_code)
        self._workers[index] = _WorkerProcess(worker.settings, index)
        self._past.add(worker.counted())
        status = await self._workers[index].started()
        if status.wrong:
            logger.error("worker did not start: worker=%d: %s", index, status.wrong)

    async def stop(self) -> None:
        """Drain all of them."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in self._workers))

    async def available(self) -> bool:
        """Whether all workers that hold a listener are; what one that ended would have got, the others get."""
        serving = [worker for worker in self._workers if worker.serves and worker.is_alive]
        statuses = await asyncio.gather(*(worker.status() for worker in serving))
        return bool(statuses) and all(status is not None and status.available for status in statuses)

    async def figures(self) -> Figures:
        """The figures of all workers; the last that are known of one which does not answer, without its gauges."""
        workers = list(self._workers)
        statuses = await asyncio.gather(*(worker.status() for worker in workers))
        total = Figures()
        total.add(self._past)
        for worker, status in zip(workers, statuses, strict=True):
            if worker in self._workers:  # else it is of the past by now
                total.add(worker.counted() if status is None else status.figures)
        return total


class _WorkerProcess:
    """One worker process, as its parent sees it."""

    def __init__(self, settings: Settings, index: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.settings = settings
        self._pipe, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(target=worker_main, args=(settings, theirs), name=f"sipreg-worker-{index}")
        self._process.start()
        theirs.close()
        self._turn = asyncio.Lock()
        self._last = Figures()
        self.serves = False
        """Whether it has said that it does."""

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    @property
    def exit_code(self) -> int | None:
        return self._process.exitcode

    async def started(self) -> Status:
        """Wait until it serves, or says why not."""
        status = await self._receive(START_LIMIT_S)
        self.serves = status is not None and not status.wrong
        return status or Status(available=False, figures=Figures(), wrong="edge.workers: a worker did not start in time")

    async def status(self) -> Status | None:
        """Ask it; None if it does not answer."""
        if not self.serves:
            return None
        async with self._turn:
            try:
                while self._pipe.poll():
                    self._pipe.recv_bytes()  # an answer that came too late
                self._pipe.send_bytes(_ASK)
            except (OSError, EOFError):
                return None
            status = await self._receive(ANSWER_LIMIT_S)
        if status is not None:
            self._last = status.figures
        return status

    def counted(self) -> Figures:
        """Return what it had counted when it answered last; no gauges, as they tell of the present."""
        return msgspec.structs.replace(self._last, gauges={})

    async def _receive(self, limit_s: float) -> Status | None:
        ready = await asyncio.to_thread(self._poll, limit_s)
        return msgspec.json.decode(ready, type=Status) if ready else None

    def _poll(self, limit_s: float) -> bytes:
        try:
            return self._pipe.recv_bytes() if self._pipe.poll(limit_s) else b""
        except (OSError, EOFError):
            return b""

    async def stop(self) -> None:
        """Let it drain, and end it if it does not."""
        with contextlib.suppress(OSError):
            self._pipe.send_bytes(_STOP)
        await asyncio.to_thread(self._process.join, self.settings.edge.drain_s + START_LIMIT_S)
        if self._process.is_alive():
            self._process.kill()
            await asyncio.to_thread(self._process.join)


def worker_main(settings: Settings, pipe: Connection) -> None:
    """Be a worker process until the parent says stop, or is gone."""
    # Whoever stops the group by a signal to all means the parent; it tells us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    set_up_logging(settings.log.level)
    run_loop(_work(settings, pipe))


async def _work(settings: Settings, pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    try:
        async with open_stores(settings) as stores:
            edge = create_edge(settings, stores, shared=True)
            await edge.start()

            def asked() -> None:
                try:
                    message = pipe.recv_bytes()
                    if message == _ASK:
                        pipe.send_bytes(msgspec.json.encode(Status(available=edge.available, figures=edge.figures())))
                        return
                except (OSError, EOFError):
                    pass
                loop.remove_reader(pipe.fileno())
                stopped.set()

            loop.add_reader(pipe.fileno(), asked)
            gc.collect()
            gc.freeze()
            pipe.send_bytes(msgspec.json.encode(Status(available=True, figures=edge.figures(), sockets=list(edge.sockets))))
            await stopped.wait()
            await edge.drain()
    except SipregError as error:
        pipe.send_bytes(msgspec.json.encode(Status(available=False, figures=Figures(), wrong=str(error))))
