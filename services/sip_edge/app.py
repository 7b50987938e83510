"""Composition root of a worker: the one place that knows every class of it."""

from __future__ import annotations

from sip_edge.dispatcher import Dispatcher, DispatcherParts
from sip_edge.edge import Edge
from sip_edge.metrics import Metrics
from sipreg.clock import WallClock
from sipreg.composition import Stores, create_registrar
from sipreg.settings import Settings
from sipreg.tokens import RandomTokens
from sipreg.transaction.layer import ServerTransactions
from sipreg.transaction.timers import Timers

MIB = 1024 * 1024


def create_edge(settings: Settings, stores: Stores, *, shared: bool) -> Edge:
    """Return an edge whose listeners are bound; ``shared`` if other workers bind the same addresses.

    Raises:
        SettingWrong: an address cannot be bound.
    """
    dispatcher = Dispatcher(
        DispatcherParts(
            registrar=create_registrar(settings, stores),
            transactions=ServerTransactions(Timers(), max_bytes=settings.edge.transactions_mib * MIB),
            metrics=Metrics(),
            clock=WallClock(),
            tokens=RandomTokens(),
            node_id=settings.edge.node_id,
        )
    )
    return Edge(settings.edge, stores, dispatcher, shared=shared)
