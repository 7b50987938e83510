"""What is measured, how often, and in which order."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sipreg_cli.bench.children import BenchFailed
from sipreg_cli.bench.generator import Mode, Setup
from sipreg_cli.bench.rounds import Amount, Entry, orders, prepare, run_rounds
from sipreg_cli.bench.stage import GeneratorProcess, NoStore, generator
from support.udp_responder import UdpResponder, header, sip_answer

AMOUNT = Amount(requests=20, seconds=5.0, window=4, rounds=2, rate=0)


@pytest.fixture
def responder() -> Iterator[UdpResponder]:
    """Answer 200 to everything."""
    with UdpResponder(lambda data, _: [sip_answer(data)]) as running:
        yield running


@pytest.fixture
def phones(responder: UdpResponder) -> Iterator[GeneratorProcess]:
    """Ten phones."""
    with generator(Setup(host="127.0.0.1", port=responder.port, namespace="t", aors=10), []) as running:
        yield running


class TestOrders:
    """A saturated run, then a paced one."""

    def test_without_a_rate_there_is_only_the_saturated_run(self) -> None:
        (only,) = orders(Mode.REFRESH, AMOUNT)
        assert (only.rate, only.requests, only.window, only.seconds) == (0, 20, 4, 5)

    def test_the_paced_run_is_bounded_in_time_whatever_the_requests(self) -> None:
        amount = Amount(requests=1_000_000, seconds=60, window=64, rounds=1, rate=10_000)
        _, paced = orders(Mode.REFRESH, amount)
        assert (paced.rate, paced.requests) == (10_000, 30_000)
        assert paced.seconds == 4

    def test_a_window_is_never_wider_than_the_run(self) -> None:
        assert orders(Mode.REFRESH, Amount(requests=3, seconds=1, window=64, rounds=1, rate=0))[0].window == 3


class TestRounds:
    """Each mode in each round, another one first each time."""

    def test_the_modes_take_turns(self, phones: GeneratorProcess) -> None:
        entries = [Entry(mode.value, mode, phones, [os.getpid()]) for mode in (Mode.REFRESH, Mode.FETCH, Mode.OPTIONS)]
        said: list[str] = []
        samples = run_rounds(entries, AMOUNT, NoStore(), [], said.append)
        assert [(sample.round, sample.mode) for sample in samples] == [
            (1, "refresh"),
            (1, "fetch"),
            (1, "options"),
            (2, "fetch"),
            (2, "options"),
            (2, "refresh"),
        ]
        assert len(said) == 6
        for sample in samples:
            assert (sample.sent, sample.answered, sample.unexpected, sample.store_ns) == (20, 20, 0, None)
            assert sample.edge_ns > 0
            assert sample.calibration_ns > 0

    def test_first_registrations_are_removed_after_their_round(self, phones: GeneratorProcess, responder: UdpResponder) -> None:
        run_rounds([Entry("register", Mode.REGISTER, phones, [])], AMOUNT, NoStore(), [], lambda _line: None)
        expires = [header(message, "Expires") for message in responder.seen]
        assert expires == (["600"] * 20 + ["0"] * 20) * 2

    def test_losses_and_refusals_are_said_at_once(self) -> None:
        said: list[str] = []
        with (
            UdpResponder(lambda data, _: [sip_answer(data, "503 Service Unavailable")]) as busy,
            generator(Setup(host="127.0.0.1", port=busy.port, namespace="t", aors=10), []) as phones,
        ):
            (sample, *_) = run_rounds([Entry("fetch", Mode.FETCH, phones, [])], AMOUNT, NoStore(), [], said.append)
        assert sample.unexpected == 20
        assert sample.example.startswith("SIP/2.0 503")
        assert "0 lost, 20 unexpected" in said[0]


class TestPreparing:
    """Nothing is measured before the phones are registered."""

    def test_every_phone_registers_once(self, phones: GeneratorProcess, responder: UdpResponder) -> None:
        assert prepare(phones, Mode.REFRESH).answered == 10
        assert len({header(message, "To") for message in responder.seen}) == 10

    def test_a_target_that_refuses_stops_the_bench_with_an_example(self) -> None:
        with (
            UdpResponder(lambda data, _: [sip_answer(data, "403 Forbidden")]) as responder,
            generator(Setup(host="127.0.0.1", port=responder.port, namespace="t", aors=10), []) as phones,
            pytest.raises(BenchFailed, match=r"only 0 of 10 phones got through `refresh`; first trouble: SIP/2\.0 403 Forbidden"),
        ):
            prepare(phones, Mode.REFRESH)

    def test_a_target_that_is_not_there_is_named(self) -> None:
        with UdpResponder(lambda _data, _: []) as responder:
            port = responder.port
        with (
            generator(Setup(host="127.0.0.1", port=port, namespace="t", aors=2), []) as phones,
            pytest.raises(BenchFailed, match=f"nothing listens at udp:127.0.0.1:{port}"),
        ):
            prepare(phones, Mode.REFRESH)
