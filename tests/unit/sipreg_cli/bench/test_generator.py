"""The phones of the generator behave as phones do."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager

from sipreg_cli.bench.generator import Generator, Mode, Order, Outcome, Setup, percentiles, serve
from support.udp_responder import Answer, UdpResponder, header, sip_answer


@contextmanager
def generating(answer: Answer, *, aors: int = 10, sources: int = 1, algorithm: str = "MD5") -> Iterator[tuple[Generator, UdpResponder]]:
    """Yield a generator towards a responder."""
    with UdpResponder(answer) as responder:
        setup = Setup(
            host="127.0.0.1", port=responder.port, namespace="t", aors=aors, sources=sources, algorithm=algorithm, password="secret"
        )
        with closing(Generator(setup)) as generator:
            yield generator, responder


def ok(data: bytes, _ordinal: int) -> list[bytes]:
    """Answer 200."""
    return [sip_answer(data)]


def run(generator: Generator, mode: Mode, requests: int = 10, window: int = 4) -> Outcome:
    """Run one saturated order."""
    return generator.run(Order(mode=mode, requests=requests, window=window))


class TestRefreshing:
    """RFC 3261 §10.2.4: same Call-ID, CSeq rising, for each phone."""

    def test_each_phone_comes_round_with_its_next_cseq(self) -> None:
        with generating(ok) as (generator, responder):
            outcome = run(generator, Mode.REFRESH, 30)
            again = run(generator, Mode.REFRESH, 10)
        assert (outcome.answered, outcome.unexpected, again.answered) == (30, 0, 10)
        seen: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for message in responder.seen:
            cseq = int(header(message, "CSeq").split()[0])
            seen[header(message, "To")].append((cseq, header(message, "Call-ID") + header(message, "Contact")))
        assert len(seen) == 10
        for requests in seen.values():
            assert [cseq for cseq, _ in requests] == [1, 2, 3, 4]
            assert len({rest for _, rest in requests}) == 1

    def test_every_request_has_a_branch_of_its_own(self) -> None:
        with generating(ok) as (generator, responder):
            run(generator, Mode.REFRESH, 30)
            run(generator, Mode.OPTIONS, 30)
        assert len({header(message, "Via") for message in responder.seen}) == 60

    def test_several_sources_share_the_phones_and_each_phone_stays_with_its_own(self) -> None:
        with generating(ok, sources=3) as (generator, responder):
            outcome = run(generator, Mode.REFRESH, 30)
        assert outcome.answered == 30
        ports: dict[str, set[str]] = defaultdict(set)
        for message in responder.seen:
            ports[header(message, "To")].add(header(message, "Via").split(";")[0])
        assert all(len(each) == 1 for each in ports.values())
        assert len(set.union(*ports.values())) == 3

    def test_leaving_removes_every_phone(self) -> None:
        with generating(ok) as (generator, responder):
            run(generator, Mode.REFRESH)
            run(generator, Mode.LEAVE)
        assert [header(message, "Expires") for message in responder.seen] == ["600"] * 10 + ["0"] * 10
        assert {header(message, "To") for message in responder.seen[10:]} == {header(message, "To") for message in responder.seen[:10]}


class TestFirstRegistrations:
    """Every request is another AoR, and all are removed again."""

    def test_no_aor_comes_twice_even_over_several_runs(self) -> None:
        with generating(ok) as (generator, responder):
            run(generator, Mode.REFRESH)
            run(generator, Mode.REGISTER, 25)
            run(generator, Mode.REGISTER, 25)
        assert len({header(message, "To") for message in responder.seen}) == 60

    def test_forgetting_removes_just_these(self) -> None:
        with generating(ok) as (generator, responder):
            run(generator, Mode.REFRESH)
            run(generator, Mode.REGISTER, 20)
            run(generator, Mode.FORGET)
            made, removed = responder.seen[10:30], responder.seen[30:]
            assert [header(message, "Contact") for message in removed] == [header(message, "Contact") for message in made]
            assert {header(message, "Expires") for message in removed} == {"0"}
            assert {header(message, "CSeq") for message in removed} == {"2 REGISTER"}
            assert run(generator, Mode.FORGET).sent == 0


class Digest:
    """A registrar that checks digests: a nonce for each challenge, each count of it once, and one answer in ``stale_every`` stale."""

    def __init__(self, stale_every: int = 0) -> None:
        self.counts: dict[str, int] = {}
        self.passed = 0
        self._stale_every = stale_every

    def __call__(self, data: bytes, ordinal: int) -> list[bytes]:
        try:
            given = dict(re.findall(r'(\w+)="?([^",]+)"?', header(data, "Authorization")))
        except KeyError:
            return [self._challenge(data, "")]
        assert given["username"] == header(data, "To").removeprefix("<sip:").partition("@")[0]
        secret = hashlib.md5(f"{given['username']}:bench.example:secret".encode()).hexdigest()
        rest = hashlib.md5(f"REGISTER:{given['uri']}".encode()).hexdigest()
        text = f"{secret}:{given['nonce']}:{given['nc']}:{given['cnonce']}:auth:{rest}"
        if hashlib.md5(text.encode()).hexdigest() != given["response"]:
            return [sip_answer(data, "403 Forbidden")]
        if int(given["nc"], 16) != self.counts[given["nonce"]] + 1:
            return [sip_answer(data, "400 Wrong nonce count")]
        if self._stale_every and ordinal % self._stale_every == 0:
            return [self._challenge(data, ", stale=true")]
        self.counts[given["nonce"]] += 1
        self.passed += 1
        return [sip_answer(data)]

    def _challenge(self, data: bytes, stale: str) -> bytes:
        nonce = f"n{len(self.counts)}"
        self.counts[nonce] = 0
        line = f'WWW-Authenticate: Digest realm="bench.example", nonce="{nonce}", algorithm=MD5, qop="auth"{stale}'
        return sip_answer(data, "401 Unauthorized", line)


class TestDigest:
    """RFC 7616 §3.4: every phone answers with its own nonce and a count that rises by one."""

    def test_after_the_challenge_every_refresh_passes(self) -> None:
        registrar = Digest()
        with generating(registrar) as (generator, _):
            challenged = run(generator, Mode.CHALLENGE)
            outcome = run(generator, Mode.REFRESH_DIGEST, 50)
            left = run(generator, Mode.LEAVE)
        assert (challenged.answered, challenged.unexpected) == (10, 0)
        assert (outcome.answered, outcome.unexpected, outcome.challenged) == (50, 0, 0)
        assert (left.answered, left.unexpected) == (10, 0)
        assert registrar.passed == 60
        assert set(registrar.counts.values()) == {6}

    def test_a_stale_nonce_is_replaced_and_counted_apart(self) -> None:
        registrar = Digest(stale_every=7)
        with generating(registrar) as (generator, _):
            run(generator, Mode.CHALLENGE)
            outcome = run(generator, Mode.REFRESH_DIGEST, 70)
        assert outcome.challenged == 10
        assert outcome.unexpected == 0
        assert registrar.passed == 60

    def test_a_registrar_that_does_not_challenge_is_reported(self) -> None:
        with generating(ok) as (generator, _):
            outcome = run(generator, Mode.CHALLENGE)
        assert outcome.statuses == {"200": 10}

    def test_a_challenge_without_the_wanted_algorithm_is_reported(self) -> None:
        with generating(Digest(), algorithm="SHA-256") as (generator, _):
            outcome = run(generator, Mode.CHALLENGE)
        assert outcome.statuses == {"401": 10}

    def test_a_challenge_where_none_was_due_is_reported(self) -> None:
        with generating(Digest()) as (generator, _):
            outcome = run(generator, Mode.REFRESH)
        assert outcome.statuses == {"401": 10}


class TestOutcomes:
    """What is told of a run."""

    def test_other_answers_are_counted_by_status_with_an_example(self) -> None:
        def sometimes(data: bytes, ordinal: int) -> list[bytes]:
            return [sip_answer(data, "503 Service Unavailable" if ordinal % 5 == 0 else "200 OK")]

        with generating(sometimes) as (generator, _):
            outcome = run(generator, Mode.FETCH, 50)
        assert outcome.statuses == {"503": 10}
        assert outcome.unexpected == 10
        assert outcome.example.startswith("SIP/2.0 503 Service Unavailable\r\n")
        assert 0 < outcome.p50_us <= outcome.p90_us <= outcome.p99_us <= outcome.max_us
        assert outcome.elapsed_s > 0
        assert outcome.cpu_s > 0

    def test_a_target_that_does_not_exist_is_named(self) -> None:
        with UdpResponder(ok) as responder:
            port = responder.port
        with closing(Generator(Setup(host="127.0.0.1", port=port, namespace="t", aors=1))) as generator:
            outcome = generator.run(Order(mode=Mode.OPTIONS, requests=1, seconds=0.1, window=1))
        assert outcome.example == f"nothing listens at udp:127.0.0.1:{port}"

    def test_an_echo_counts_as_a_good_answer_to_whom_expects_one(self) -> None:
        with UdpResponder(lambda data, _: [data]) as responder:
            setup = Setup(host="127.0.0.1", port=responder.port, namespace="t", aors=5, echo=True)
            with closing(Generator(setup)) as generator:
                outcome = run(generator, Mode.REFRESH, 20)
        assert (outcome.answered, outcome.unexpected) == (20, 0)

    def test_percentiles_are_in_microseconds(self) -> None:
        assert percentiles([]) == (0, 0, 0, 0)
        assert percentiles([nanoseconds * 1000 for nanoseconds in range(100, 0, -1)]) == (51, 91, 100, 100)


class TestItsLines:
    """A line of JSON in, a line of JSON out."""

    def test_setup_then_orders_then_the_end(self) -> None:
        with UdpResponder(ok) as responder:
            setup = json.dumps({"host": "127.0.0.1", "port": responder.port, "namespace": "t", "aors": 3})
            order = json.dumps({"mode": "fetch", "requests": 6, "window": 2})
            outcomes = io.StringIO()
            serve(io.StringIO(f"{setup}\n{order}\n{order}\n"), outcomes)
        told = [Outcome(**json.loads(line)) for line in outcomes.getvalue().splitlines()]
        assert [outcome.answered for outcome in told] == [6, 6]
        assert all(header(message, "CSeq").endswith(" REGISTER") for message in responder.seen)
