"""From samples to text: the figures, the ratios, the verdicts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sipreg_cli.bench.machine import Machine
from sipreg_cli.bench.report import ECHO, Report, Sample, as_json, as_markdown, verdicts

MACHINE = Machine(cpu="Slide Rule 2", cores=2, system="Linux 6", python="CPython 3.11.7", optimised=False, uvloop="0.23.0", hiredis="no")


def a_sample(
    mode: str = "refresh-digest", round_: int = 1, *, edge_us: float = 30.0, store_us: float | None = 12.0, **more: object
) -> Sample:
    """Build a run of 1,000 answers in 50 ms."""
    sample = Sample(
        mode=mode,
        round=round_,
        rate=0,
        sent=1000,
        answered=1000,
        lost=0,
        late=0,
        challenged=0,
        unexpected=0,
        example="",
        elapsed_s=0.05,
        edge_ns=int(edge_us * 1e6),
        waited_ns=5_000_000,
        store_ns=None if store_us is None else int(store_us * 1e6),
        generator_ns=9_000_000,
        calibration_ns=400.0,
        p50_us=500.0,
        p90_us=700.0,
        p99_us=900.0,
        max_us=2000.0,
    )
    return replace(sample, **more)  # type: ignore[arg-type]  # the fields that a test is about, by name


def a_report(*samples: Sample) -> Report:
    """Build a report of these samples."""
    return Report(date="2026-01-02 03:04 UTC", machine=MACHINE, store="Redis 7.0", settings={"AoRs": "1,000"}, samples=samples)


def row(text: str, name: str, table: int = 0) -> list[str]:
    """Return the cells of the row that begins with ``name``, in the given one of the tables that have it."""
    found = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in found[table].strip("|").split("|")]


class TestSamples:
    """Figures per answer."""

    def test_cpu_time_is_in_microseconds_per_answer(self) -> None:
        sample = a_sample(edge_us=30, store_us=12, answered=500)
        assert (sample.edge_us, sample.store_us, sample.generator_us) == (60, 24, 18)

    def test_rate_and_share_come_from_the_elapsed_time(self) -> None:
        sample = a_sample(edge_us=30)
        assert sample.per_second == pytest.approx(20_000)
        assert sample.busy == pytest.approx(0.6)

    def test_late_answers_share_the_cost(self) -> None:
        assert a_sample(edge_us=30, answered=500, late=500).edge_us == 30

    def test_the_time_without_a_cpu_is_a_part_of_the_run(self) -> None:
        assert a_sample().disturbed == pytest.approx(0.1)

    def test_nothing_answered_divides_by_nothing(self) -> None:
        sample = a_sample(answered=0, elapsed_s=0.0)
        assert (sample.edge_us, sample.per_second, sample.busy, sample.disturbed) == (0, 0, 0, 0)


class TestVerdicts:
    """The budget is held against a digest refresh: least times, median ratio."""

    def test_times_count_at_their_least(self) -> None:
        edge, _, store, _ = verdicts(a_report(a_sample(edge_us=50, store_us=20), a_sample(round_=2, edge_us=39, store_us=15)))
        assert (edge.value, edge.met, store.value, store.met) == (39, True, 15, True)

    def test_more_than_the_limit_is_not_met_and_the_limit_itself_is(self) -> None:
        assert verdicts(a_report(a_sample(edge_us=40.1)))[0].met is False
        assert verdicts(a_report(a_sample(edge_us=40.0)))[0].met is True

    def test_the_ratio_is_the_median_over_the_rounds_each_to_its_own_echo(self) -> None:
        samples = []
        for turn, (edge, floor) in enumerate([(30, 10), (50, 10), (70, 10)], start=1):
            samples += [a_sample(round_=turn, edge_us=edge), a_sample(ECHO, turn, edge_us=floor)]
        assert verdicts(a_report(*samples))[1].value == pytest.approx(5)

    def test_the_ratio_allows_for_a_machine_that_changed_its_speed_in_between(self) -> None:
        samples = [a_sample(edge_us=60, calibration_ns=800.0), a_sample(ECHO, edge_us=6, calibration_ns=400.0)]
        assert verdicts(a_report(*samples))[1].value == pytest.approx(5)

    def test_the_latency_counts_only_at_its_rate_and_if_the_rate_was_kept(self) -> None:
        kept = a_sample(rate=10_000, elapsed_s=0.1, p50_us=800.0)
        assert verdicts(a_report(kept))[3].value == 800
        assert verdicts(a_report(replace(kept, elapsed_s=0.2)))[3].value is None
        assert verdicts(a_report(replace(kept, rate=5_000)))[3].value is None

    def test_what_was_not_measured_is_neither_met_nor_missed(self) -> None:
        judged = verdicts(a_report(a_sample("refresh"), a_sample("options", store_us=None)))
        assert [verdict.value for verdict in judged] == [None] * 4
        assert [verdict.met for verdict in judged] == [None] * 4


class TestMarkdown:
    """The table of the documentation."""

    REPORT = a_report(
        a_sample(ECHO, edge_us=6, store_us=0),
        a_sample(edge_us=30),
        a_sample(ECHO, 2, edge_us=6, store_us=0),
        a_sample(round_=2, edge_us=36, lost=3, unexpected=2, challenged=1, example="SIP/2.0 503 Busy\r\nVia: x"),
        a_sample(rate=10_000, elapsed_s=0.1),
        a_sample("options", edge_us=10, rate=10_000, elapsed_s=0.5, p99_us=123_456.0),
    )

    def test_it_says_when_and_on_what_it_was_measured(self) -> None:
        text = as_markdown(self.REPORT)
        assert text.startswith("Measured on 2026-01-02 03:04 UTC.")
        assert "* Machine: Slide Rule 2, 2 CPUs, Linux 6" in text
        assert "CPython 3.11.7, build without profile-guided optimisation; uvloop 0.23.0, hiredis no" in text
        assert "* Store: Redis 7.0" in text
        assert "* Settings: AoRs 1,000" in text
        assert "* Calibration loop: 400 to 400 ns a turn" in text

    def test_a_saturated_mode_has_its_counts_and_its_least_and_median_times(self) -> None:
        cells = row(as_markdown(self.REPORT), "refresh-digest")
        assert cells[:5] == ["refresh-digest", "2,000", "3", "2", "1"]
        assert cells[5:8] == ["30.0 / 33.0", "5.0 / 5.5", "12.0 / 12.0"]
        assert cells[8:11] == ["20,000", "66%", "10%"]
        assert cells[11:] == ["9.0 / 9.0", "400 / 400"]

    def test_the_echo_has_neither_ratio_nor_store(self) -> None:
        assert row(as_markdown(self.REPORT), ECHO)[6:8] == ["", ""]

    def test_a_paced_mode_has_its_latencies_in_milliseconds(self) -> None:
        text = as_markdown(self.REPORT)
        assert "At 10,000 requests a second" in text
        assert row(text, "refresh-digest", 1)[5:] == [
            "10,000",
            "30.0 / 30.0",
            "0.50 / 0.50",
            "0.70 / 0.70",
            "0.90 / 0.90",
            "2.00 / 2.00",
        ]

    def test_a_rate_that_was_not_kept_is_marked(self) -> None:
        assert row(as_markdown(self.REPORT), "options")[5] == "2,000 (did not keep up)"

    def test_the_budget_stands_beside_what_was_measured(self) -> None:
        text = as_markdown(self.REPORT)
        assert row(text, "edge CPU per request")[1:] == ["at most 40 µs", "30.0 µs", "met"]
        assert row(text, "edge CPU, times the echo's")[1:] == ["at most 6 x", "5.5 x", "met"]
        assert row(text, "store CPU per request")[1:] == ["at most 16 µs", "12.0 µs", "met"]
        assert row(text, "p50 at 10,000 requests a second")[1:] == ["at most 1000 µs", "500.0 µs", "met"]
        missed = as_markdown(a_report(a_sample(edge_us=41)))
        assert row(missed, "edge CPU per request")[3] == "**not met**"
        assert row(missed, "p50 at 10,000 requests a second")[2:] == ["not measured", ""]

    def test_the_first_unexpected_answer_is_shown(self) -> None:
        assert as_markdown(self.REPORT).endswith("* First unexpected answer to `refresh-digest`: `SIP/2.0 503 Busy`\n")

    def test_all_rows_of_a_table_have_as_many_cells_as_its_header(self) -> None:
        tables = [block for block in as_markdown(self.REPORT).split("\n\n") if block.startswith("|")]
        assert len(tables) == 3
        for table in tables:
            assert len({line.count("|") for line in table.splitlines()}) == 1

    def test_a_store_that_was_not_looked_at_is_not_measured(self) -> None:
        assert row(as_markdown(a_report(a_sample(store_us=None))), "refresh-digest")[7] == "not measured"

    def test_without_samples_there_is_still_a_report(self) -> None:
        text = as_markdown(a_report())
        assert "* Calibration loop: not measured" in text
        assert "Saturated" not in text


class TestJson:
    """The same for programs."""

    def test_it_bears_every_sample_and_the_verdicts(self) -> None:
        told = json.loads(as_json(a_report(a_sample(edge_us=30), a_sample(round_=2, edge_us=31))))
        assert [sample["edge_ns"] for sample in told["samples"]] == [30_000_000, 31_000_000]
        assert told["machine"]["cpu"] == "Slide Rule 2"
        assert told["budget"][0] == {"what": "edge CPU per request", "limit": 40.0, "value": 30.0, "unit": "µs", "met": True}
