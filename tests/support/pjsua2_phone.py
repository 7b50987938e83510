"""A phone of another make, PJSIP, as a process of its own: it registers, refreshes, and unregisters when it is told to end by SIGTERM.

Its arguments are one JSON object (see `Wanted`); what it comes to know is printed as JSON, one object a line: ``state`` counts from 1.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from support.edges import RunningEdge
from support.processes import ROOT, Process, source_environment

UNREGISTER_LIMIT_MS = 5000
POLL_MS = 20


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the phone shall do."""

    user: str
    password: str
    proxy: str
    """URI of the edge, which all requests go to."""
    domain: str
    transport: str = "udp"
    expires: int = 300
    """Seconds that it asks for."""
    refresh_before: int = 5
    """Seconds before the end of what was granted at which it refreshes."""


class Pjsua2Phone(Process):
    """The phone, as a test sees it."""

    def __init__(
        self, edge: RunningEdge, folder: Path, *, user: str, password: str, domain: str, transport: str = "udp", **more: int
    ) -> None:
        """Start it; ``more`` are further fields of `Wanted`."""
        proxy = f"sip:{edge.host}:{edge.port};lr;transport={transport}"
        wanted = Wanted(user=user, password=password, proxy=proxy, domain=domain, transport=transport, **more)
        environment = source_environment()
        environment["PYTHONPATH"] = f"{ROOT / 'tests'}{os.pathsep}{environment['PYTHONPATH']}"
        super().__init__([sys.executable, Path(__file__), json.dumps(asdict(wanted))], folder / f"pjsua2-{user}.log", environment)

    def state(self, number: int, limit_s: float = 15.0) -> dict[str, int | str | bool]:
        """Wait for the so-manieth thing that it came to know of its registration: code, reason, expiration, active."""
        line = self.wait_for_line(rf'^\{{"state": {number},', limit_s).string
        found: dict[str, int | str | bool] = json.loads(line)
        return found


def main() -> None:
    """Be the phone."""
    import pjsua2 as pj  # noqa: PLC0415 (only here: its threads and its state belong to a process of their own)

    wanted = Wanted(**json.loads(sys.argv[1]))
    asked_to_end = []

    def ask_to_end(number: int, frame: FrameType | None) -> None:
        del frame
        asked_to_end.append(number)

    signal.signal(signal.SIGTERM, ask_to_end)

    class Account(pj.Account):  # type: ignore[misc]  # (SWIG has no types)
        states = 0

        def onRegState(self, prm: pj.OnRegStateParam) -> None:
            self.states += 1
            known = {"state": self.states, "code": prm.code, "reason": prm.reason, "expiration": prm.expiration}
            print(json.dumps({**known, "active": self.getInfo().regIsActive}), flush=True)

    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.logConfig.level = config.logConfig.consoleLevel = 0
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    endpoint.libInit(config)
    local = pj.TransportConfig()
    local.boundAddress = "127.0.0.1"
    endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP if wanted.transport == "udp" else pj.PJSIP_TRANSPORT_TCP, local)
    endpoint.libStart()
    account = Account()
    account.create(_account_config(pj, wanted))
    while not asked_to_end:
        endpoint.libHandleEvents(POLL_MS)
    if account.getInfo().regIsActive:
        before = account.states
        account.setRegistration(False)
        for _ in range(UNREGISTER_LIMIT_MS // POLL_MS):
            endpoint.libHandleEvents(POLL_MS)
            if account.states > before:
                break
    account.shutdown()
    endpoint.libDestroy()


def _account_config(pj: object, wanted: Wanted) -> object:
    config = pj.AccountConfig()  # type: ignore[attr-defined]  # (a module without types)
    config.idUri = f"sip:{wanted.user}@{wanted.domain}"
    config.regConfig.registrarUri = f"sip:{wanted.domain}"
    config.sipConfig.proxies.append(wanted.proxy)
    config.regConfig.timeoutSec = wanted.expires
    config.regConfig.delayBeforeRefreshSec = wanted.refresh_before
    config.regConfig.retryIntervalSec = 0
    config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", wanted.user, 0, wanted.password))  # type: ignore[attr-defined]  # (as above)
    return config


if __name__ == "__main__":
    main()
