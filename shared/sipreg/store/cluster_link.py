"""A link to a Redis Cluster: one connection per master, and a map of the hash slots."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from sipreg.errors import StoreUnavailable
from sipreg.store.address import StoreAddress
from sipreg.store.connection import Target, connect
from sipreg.store.keys import SLOTS
from sipreg.store.link import Done, LinkLimits, Reply
from sipreg.store.resp import pack
from sipreg.store.single_link import SingleLink, target_of

logger = logging.getLogger("sipreg.store")

MAX_REDIRECTIONS: Final = 5

LEAST_BETWEEN_MAPS_S: Final = 0.1
"""Seconds between two questions for the map, however many commands are sent elsewhere meanwhile."""

RECHECK_S: Final = 0.5
"""Seconds after which the map is asked for again while a master is away: a replica may have taken its slots over."""

RETRY_S: Final = 0.02
"""Seconds before a command is tried again whose keys are just being moved to another node."""

CLUSTER_SLOTS: Final = pack("CLUSTER", "SLOTS")

Endpoint = tuple[str, int]


class _Routed:
    """What waits for a command that was sent elsewhere, and how often and how long that has happened."""

    __slots__ = ("done", "hops", "until")

    def __init__(self, done: Done) -> None:
        self.done = done
        self.hops = 0
        self.until = 0.0

    def __call__(self, reply: Reply) -> None:
        self.done(reply)


class ClusterLink:
    """Sends each command to the node of its slot. A node that is away fails only its own slots."""

    def __init__(self, address: StoreAddress, limits: LinkLimits, chance: Callable[[], float] = random.random) -> None:
        """Prepare a link to the cluster of which ``address`` names some nodes."""
        self._target = target_of(address)
        self._seeds = address.hosts
        self._limits = limits
        self._chance = chance
        self._nodes: dict[Endpoint, SingleLink] = {}
        self._endpoints: dict[SingleLink, Endpoint] = {}
        self._masters: frozenset[Endpoint] = frozenset()
        self._slots: list[SingleLink | None] = [None] * SLOTS
        self._stale = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reason = "The slot is served by no node of the cluster"

    @property
    def available(self) -> bool:
        """Whether any master is connected: while some are away, the others go on serving their slots."""
        return any(node.available for node in self._nodes.values())

    async def open(self) -> None:
        """Learn the map and connect to the masters (see `Link.open`)."""
        await self._refresh()
        await asyncio.gather(*(node.wait_until_up() for node in self._nodes.values()), return_exceptions=True)
        if not self.available:
            raise StoreUnavailable("No master of the cluster can be asked")
        self._spawn(self._keep_map())

    async def close(self) -> None:
        """End it; what is under way fails."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(node.close() for node in list(self._endpoints)))

    def call(self, slot: int, command: bytes, done: Done) -> None:
        """Send a packed command to the node of its slot (see `Link.call`)."""
        node = self._slots[slot]
        if node is None:
            self._stale.set()
            done(StoreUnavailable(self._reason))
        else:
            node.call(slot, command, done)

    # -- redirections -----------------------------------------------------------------------------------------------

    def _diverted(self, node: SingleLink, text: str, done: Done, command: bytes) -> bool:
        """Send a command on that a node will not serve (cluster specification: MOVED, ASK, TRYAGAIN)."""
        kind, _, rest = text.partition(" ")
        if kind in ("MOVED", "ASK"):
            return self._redirect(node, kind, rest, done, command)
        if kind == "TRYAGAIN":
            return self._retry(node, done, command)
        if kind == "CLUSTERDOWN":
            self._stale.set()
        return False

    def _redirect(self, node: SingleLink, kind: str, rest: str, done: Done, command: bytes) -> bool:
        route = done if isinstance(done, _Routed) else _Routed(done)
        route.hops += 1
        slot, _, place = rest.partition(" ")
        host, _, port = place.rpartition(":")
        if route.hops > MAX_REDIRECTIONS or not (slot.isdigit() and port.isdigit()):
            return False
        # A node that does not know its own name leaves the host out: it is the one that was asked.
        target = self._node((host or self._endpoints[node][0], int(port)))
        if kind == "MOVED":
            self._slots[int(slot) % SLOTS] = target
            self._stale.set()
        target.call_when_up(command, route, asking=kind == "ASK")
        return True

    def _retry(self, node: SingleLink, done: Done, command: bytes) -> bool:
        loop = asyncio.get_running_loop()
        route = done if isinstance(done, _Routed) else _Routed(done)
        if not route.until:
            route.until = loop.time() + self._limits.timeout_s
        if loop.time() >= route.until:
            return False
        route.hops = 0
        loop.call_later(RETRY_S, node.call, 0, command, route)
        return True

    def _node(self, endpoint: Endpoint) -> SingleLink:
        """Return the link to a node, begun if need be."""
        node = self._nodes.get(endpoint)
        if node is None:
            target = replace(self._target, host=endpoint[0], port=endpoint[1])

            async def locate() -> Target:
                return target

            node = SingleLink(locate, self._limits, self._chance, diverted=self._diverted, changed=self._stale.set)
            self._nodes[endpoint] = node
            self._endpoints[node] = endpoint
            node.start()
        return node

    # -- the map ----------------------------------------------------------------------------------------------------

    async def _keep_map(self) -> None:
        """Ask for the map when something speaks against it, and while a master is away."""
        while True:
            whole = all(self._nodes[endpoint].available for endpoint in self._masters) and None not in self._slots
            with suppress(TimeoutError):
                async with asyncio.timeout(None if whole else RECHECK_S):
                    await self._stale.wait()
            self._stale.clear()
            try:
                await self._refresh()
            except StoreUnavailable as error:
                logger.warning("%s; trying again", error)
            except Exception:
                # Without this task a slot that moves would never be found again, whatever the reason.
                logger.exception("reading the map of the cluster failed")
            await asyncio.sleep(LEAST_BETWEEN_MAPS_S)

    async def _refresh(self) -> None:
        """Ask the connected nodes, then those named at first, until one tells the map.

        Raises:
            StoreUnavailable: none does.
        """
        connected = [endpoint for endpoint, node in self._nodes.items() if node.available]
        others = [endpoint for endpoint in (*self._seeds, *self._nodes) if endpoint not in connected]
        reason = "none is known"
        for endpoint in dict.fromkeys(connected + others):
            try:
                reply = await self._ask(endpoint)
            except StoreUnavailable as error:
                reason = str(error)
                continue
            if isinstance(reply, list) and reply:
                self._apply(read_slots(reply, endpoint[0]))
                return
            reason = f"{endpoint[0]}:{endpoint[1]} serves no slots"
        raise StoreUnavailable(f"No node tells the map of the cluster: {reason}")

    async def _ask(self, endpoint: Endpoint) -> Reply:
        node = self._nodes.get(endpoint)
        if node is not None and node.available:
            return await node.ask(CLUSTER_SLOTS)
        target = replace(self._target, host=endpoint[0], port=endpoint[1])
        connection = await connect(target, self._limits, _pass_on, lambda reason: None)
        try:
            return await connection.ask(CLUSTER_SLOTS)
        finally:
            connection.end("The map was told")

    def _apply(self, ranges: Iterable[tuple[int, int, Endpoint]]) -> None:
        slots: list[SingleLink | None] = [None] * SLOTS
        masters = set()
        for start, end, endpoint in ranges:
            slots[start : end + 1] = [self._node(endpoint)] * (end - start + 1)
            masters.add(endpoint)
        self._slots = slots
        self._masters = frozenset(masters)
        for endpoint in [endpoint for endpoint in self._nodes if endpoint not in masters]:
            self._spawn(self._retire(self._nodes.pop(endpoint)))

    async def _retire(self, node: SingleLink) -> None:
        """Close the link to a node that serves nothing any more, once its last commands are answered."""
        await asyncio.sleep(2 * self._limits.timeout_s)
        await node.close()
        del self._endpoints[node]

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task: asyncio.Task[None] = asyncio.create_task(coroutine, name="store cluster")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def read_slots(reply: list[Any], asked: str) -> list[tuple[int, int, Endpoint]]:
    """Return (first slot, last slot, master) for each range in the reply to CLUSTER SLOTS.

    Args:
        reply: as it came.
        asked: the host that gave it: a node that does not know its own name means the one it was reached under.
    """
    ranges = []
    for start, end, master, *_ in reply:
        host = (master[0] or b"").decode()
        ranges.append((int(start), int(end), (asked if host in ("", "?") else host, int(master[1]))))
    return ranges


def _pass_on(text: str, done: Done, command: bytes) -> None:
    done(StoreUnavailable(f"The store refused: {text[:100]}"))
