"""What a REGISTER costs the store, counted by the store itself."""

from __future__ import annotations

from pathlib import Path

from support.edges import DOMAIN, RunningEdge
from support.redis_servers import redis_server
from support.sip_client import Phone

PHONES = 20


class TestTheSteadyState:
    def test_a_refresh_takes_one_round_trip_to_the_store(self, tmp_path: Path) -> None:
        phones = [Phone(user=f"phone-{number}", domain=DOMAIN) for number in range(PHONES)]
        with redis_server(tmp_path) as server, RunningEdge(tmp_path, server.url, auth="off") as edge, edge.client() as client:
            assert [client.register(phone).status for phone in phones] == [200] * PHONES
            with server.client() as redis:
                redis.config_resetstat()
                assert [client.register(phone).status for phone in phones] == [200] * PHONES
                counted = redis.info("commandstats")
        # The script reads the record once for each, and nothing else does: it counts among the calls of GET.
        assert (counted["cmdstat_evalsha"]["calls"], counted["cmdstat_get"]["calls"]) == (PHONES, PHONES)
