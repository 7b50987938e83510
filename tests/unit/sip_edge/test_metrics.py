"""Figures: counted cheaply, added up over workers, and shown as Prometheus wants them."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from sip_edge.metrics import LATENCY_BOUNDS_S, Figures, Metrics, render

COUNTS = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 10**6))
FIGURES = st.builds(
    Figures,
    requests=COUNTS,
    responses=COUNTS,
    counters=COUNTS,
    gauges=st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 1000).map(float)),
    latency=st.lists(st.integers(0, 1000), min_size=len(LATENCY_BOUNDS_S) + 1, max_size=len(LATENCY_BOUNDS_S) + 1),
    latency_sum_s=st.integers(0, 1000).map(float),
)


def some_figures(gauges: dict[str, float] | None = None) -> Figures:
    metrics = Metrics()
    metrics.request("udp", "REGISTER")
    metrics.response("REGISTER", 200, 0.001)
    metrics.response("REGISTER", 401, 0.0011)
    metrics.response("X-\u00e9\n", 405, 9.0)
    return metrics.figures({"registrar_accepted_regs": 1}, gauges or {"workers": 1.0})


def shown(figures: Figures) -> dict[str, float]:
    return {
        sample.name + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(render(figures, {"registrar_max_contacts": 3.0}).decode())
        for sample in family.samples
    }


class TestCounting:
    """Labels are small closed sets."""

    def test_a_method_that_a_peer_made_up_gets_no_label_of_its_own(self) -> None:
        assert some_figures().responses == {"REGISTER 200": 1, "REGISTER 401": 1, "OTHER 405": 1}

    def test_a_time_counts_under_the_first_bound_that_it_does_not_exceed(self) -> None:
        counted = dict(zip([*LATENCY_BOUNDS_S, "more"], some_figures().latency, strict=True))
        assert {bound: count for bound, count in counted.items() if count} == {0.001: 1, 0.0025: 1, "more": 1}

    def test_what_was_handed_out_does_not_change_any_more(self) -> None:
        metrics = Metrics()
        figures = metrics.figures({}, {})
        metrics.request("udp", "OPTIONS")
        metrics.response("OPTIONS", 200, 0.1)
        metrics.counters["send_errors"] += 1
        assert (figures.requests, figures.responses, sum(figures.latency), figures.counters["send_errors"]) == ({}, {}, 0, 0)


class TestAdding:
    """Several workers are one edge."""

    @given(FIGURES, FIGURES)
    def test_every_figure_of_the_whole_is_the_sum_of_the_parts(self, one: Figures, other: Figures) -> None:
        total = Figures()
        total.add(one)
        total.add(other)
        for mine, theirs, both in (
            (one.requests, other.requests, total.requests),
            (one.responses, other.responses, total.responses),
            (one.counters, other.counters, total.counters),
            (one.gauges, other.gauges, total.gauges),
        ):
            assert both == {key: mine.get(key, 0) + theirs.get(key, 0) for key in {*mine, *theirs}}
        assert sum(total.latency) == sum(one.latency) + sum(other.latency)
        assert total.latency_sum_s == one.latency_sum_s + other.latency_sum_s

    @given(FIGURES)
    def test_figures_travel_between_processes_unchanged(self, figures: Figures) -> None:
        assert msgspec.json.decode(msgspec.json.encode(figures), type=Figures) == figures


class TestRendering:
    """What a scraper reads."""

    def test_the_histogram_counts_every_answer_and_its_buckets_only_rise(self) -> None:
        found = shown(some_figures())
        buckets = [value for name, value in found.items() if name.startswith("sipreg_response_seconds_bucket")]
        assert buckets == sorted(buckets)
        assert len(buckets) == len(LATENCY_BOUNDS_S) + 1
        assert found["sipreg_response_seconds_count"] == buckets[-1] == 3
        assert found["sipreg_response_seconds_sum"] == 9.0021

    def test_counters_gauges_and_settings_stand_under_their_names(self) -> None:
        found = shown(some_figures({"workers": 2.0, "connections": 5.0}))
        assert found["sipreg_requests_total REGISTER udp"] == 1
        assert found["sipreg_responses_total REGISTER 401"] == 1
        assert found["sipreg_registrar_accepted_regs_total"] == 1
        assert (found["sipreg_workers"], found["sipreg_connections"], found["sipreg_registrar_max_contacts"]) == (2, 5, 3)

    def test_an_edge_that_has_done_nothing_yet_shows_its_counters_at_zero(self) -> None:
        found = shown(Metrics().figures({"registrar_rejected_regs": 0}, {}))
        assert found["sipreg_unparsable_messages_total"] == found["sipreg_registrar_rejected_regs_total"] == 0
