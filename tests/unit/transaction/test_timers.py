"""RFC 3261 Appendix A, table 4, and RFC 6026 §7.1."""

from __future__ import annotations

import pytest

from sipreg.errors import SettingWrong
from sipreg.transaction.timers import Timers


class TestTableOfTimers:
    """RFC 3261 Appendix A, table 4, at its default values."""

    def test_the_base_values_are_half_a_second_four_and_five_seconds(self) -> None:
        assert (Timers().t1, Timers().t2, Timers().t4) == (0.5, 4.0, 5.0)

    def test_over_udp_each_timer_has_its_value(self) -> None:
        timers = Timers()
        assert timers.g(reliable=False) == 0.5
        assert timers.h(reliable=False) == 32.0
        assert timers.i(reliable=False) == 5.0
        assert timers.j(reliable=False) == 32.0
        assert timers.l(reliable=False) == 32.0

    def test_over_a_reliable_transport_only_the_waits_for_an_end_remain(self) -> None:
        timers = Timers()
        assert timers.g(reliable=True) is None
        assert timers.h(reliable=True) == 32.0
        assert timers.i(reliable=True) == 0.0
        assert timers.j(reliable=True) == 0.0
        assert timers.l(reliable=True) == 32.0

    def test_timer_g_doubles_up_to_t2(self) -> None:
        timers = Timers()
        pauses = [0.5]
        while len(pauses) < 6:
            pauses.append(timers.g_after(pauses[-1]))
        assert pauses == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]

    def test_all_follow_from_the_base_values(self) -> None:
        timers = Timers(t1=0.1, t2=0.3, t4=1.0)
        assert (timers.g(False), timers.i(False)) == (0.1, 1.0)
        assert [timers.h(False), timers.j(False), timers.l(False), timers.patience] == pytest.approx([6.4] * 4)
        assert timers.g_after(0.2) == 0.3


class TestWrongTimers:
    """Values with which retransmissions would never pause."""

    @pytest.mark.parametrize("wrong", [{"t1": 0.0}, {"t1": -1.0}, {"t2": 0.1}, {"t4": 0.0}, {"t1": float("nan")}])
    def test_a_value_that_makes_no_sense_stops_the_start_and_names_itself(self, wrong: dict[str, float]) -> None:
        with pytest.raises(SettingWrong, match=f"{next(iter(wrong))}="):
            Timers(**wrong)
