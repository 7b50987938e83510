"""How long a contact is granted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipreg.errors import IntervalTooBrief
from sipreg.registrar.expiry import HOUR, granted_expires, requested_expires
from sipreg.registrar.parameters import Parameters, TooBrief

STRICT = Parameters(too_brief=TooBrief.REFUSE)


def granted(requested: int | None, **parameters: Any) -> int:
    return granted_expires(requested, Parameters(**parameters))


class TestWhatIsAskedFor:
    """Rule S-21, RFC 3261 §10.3 step 7."""

    def test_the_contact_is_heard_before_the_header(self) -> None:
        assert requested_expires("300", 900) == 300

    @pytest.mark.parametrize("param", [None, ""])
    def test_a_contact_that_says_nothing_leaves_it_to_the_header(self, param: str | None) -> None:
        assert requested_expires(param, 900) == 900

    def test_where_neither_says_anything_it_is_left_to_us(self) -> None:
        assert requested_expires(None, None) is None

    @pytest.mark.parametrize("param", ["abc", "-1", "1.5", "0x10", "٣", "²", '"60"'])
    def test_a_contact_that_says_no_number_leaves_it_to_us_and_not_to_the_header(self, param: str) -> None:
        assert requested_expires(param, 900) is None

    def test_a_zero_is_a_number(self) -> None:
        assert requested_expires("0", 900) == 0
        assert requested_expires("000", None) == 0


class TestNumbersBeyondAllClocks:
    """Rule S-22, corrected."""

    @pytest.mark.parametrize("param", ["2147483648", "4294967295", "4294967296", "9" * 1000])
    def test_they_are_long_and_never_negative(self, param: str) -> None:
        assert requested_expires(param, None) == min(int(param[:20]), 4294967295)
        assert granted(requested_expires(param, None), max_expires=7200) == 7200


class TestWhatIsGranted:
    """Rule S-23."""

    def test_zero_stays_zero(self) -> None:
        assert granted(0, min_expires=60, max_expires=120) == 0

    @pytest.mark.parametrize(("requested", "seconds"), [(10, 60), (59, 60), (60, 60), (61, 61), (7200, 7200), (7201, 7200)])
    def test_it_is_kept_between_the_least_and_the_most(self, requested: int, seconds: int) -> None:
        assert granted(requested, min_expires=60, max_expires=7200) == seconds

    def test_without_a_most_there_is_none(self) -> None:
        assert granted(100_000_000) == 100_000_000

    def test_what_is_left_to_us_is_the_default_kept_in_the_same_bounds(self) -> None:
        assert granted(None) == 3600
        assert granted(None, default_expires=30, min_expires=60) == 60
        assert granted(None, default_expires=3600, max_expires=1800) == 1800

    def test_without_a_least_even_a_second_is_granted(self) -> None:
        assert granted(1, min_expires=0) == 1


class TestAStrictRegistrar:
    """RFC 3261 §10.3 step 7, with `TooBrief.REFUSE`."""

    def test_below_the_minimum_it_tells_the_peer_the_minimum(self) -> None:
        with pytest.raises(IntervalTooBrief) as refused:
            granted_expires(59, STRICT)
        assert (refused.value.status, refused.value.min_expires) == (423, 60)
        assert refused.value.headers == (("Min-Expires", "60"),)

    @pytest.mark.parametrize("requested", [60, HOUR, None])
    def test_what_is_long_enough_or_left_to_us_is_granted(self, requested: int | None) -> None:
        assert granted_expires(requested, STRICT) == (requested or 3600)

    def test_a_removal_is_not_too_brief(self) -> None:
        assert granted_expires(0, STRICT) == 0

    def test_an_hour_or_more_is_never_refused_only_raised(self) -> None:
        long = Parameters(too_brief=TooBrief.REFUSE, min_expires=2 * HOUR)
        assert granted_expires(HOUR, long) == 2 * HOUR
        with pytest.raises(IntervalTooBrief):
            granted_expires(HOUR - 1, long)


@given(st.none() | st.integers(0, 1 << 32), st.integers(1, 9999), st.integers(0, 9999), st.integers(0, 9999))
def test_whatever_is_asked_the_grant_is_within_the_bounds(requested: int | None, default: int, least: int, more: int) -> None:
    seconds = granted(requested, default_expires=default, min_expires=least, max_expires=least + more if least else 0)
    if requested == 0:
        assert seconds == 0
    else:
        assert seconds >= max(least, 1)
        assert not least or seconds <= least + more
