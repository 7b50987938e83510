"""What the 200 to a REGISTER says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipreg.message.abnf import qvalue
from sipreg.message.contact import Contact, parse_contacts
from sipreg.registrar.reply import contact_entry, contact_header, date_header, q_text
from support.builders import NOW_MS, a_binding


def listed(line: str) -> tuple[Contact, ...]:
    contacts = parse_contacts([line.removeprefix("Contact: ").removesuffix("\r\n")])
    assert isinstance(contacts, tuple)
    return contacts


class TestTheList:
    """Rule R-2."""

    def test_one_header_lists_all_bindings_in_their_order(self) -> None:
        line = contact_header([a_binding("sip:b@h"), a_binding("sip:a@h")], NOW_MS, "received")
        assert line == "Contact: <sip:b@h>;expires=600, <sip:a@h>;expires=600\r\n"

    def test_without_bindings_there_is_no_header(self) -> None:
        assert contact_header([], NOW_MS, "received") == ""


class TestOneContact:
    """Rule R-3."""

    def test_its_parameters_have_an_order(self) -> None:
        binding = a_binding("sip:a@h", q=500, received="sip:192.0.2.9:1", instance="<urn:uuid:1>", reg_id=2)
        entry = contact_entry(binding, NOW_MS, "received")
        assert entry == '<sip:a@h>;q=0.5;expires=600;received="sip:192.0.2.9:1";+sip.instance="<urn:uuid:1>";reg-id=2'

    def test_a_preference_that_nobody_named_is_not_named(self) -> None:
        assert contact_entry(a_binding("sip:a@h", q=-1), NOW_MS, "received") == "<sip:a@h>;expires=600"
        assert contact_entry(a_binding("sip:a@h", q=0), NOW_MS, "received") == "<sip:a@h>;q=0;expires=600"

    def test_a_reg_id_without_an_instance_says_nothing(self) -> None:
        assert contact_entry(a_binding("sip:a@h", reg_id=2), NOW_MS, "received") == "<sip:a@h>;expires=600"

    def test_what_extensions_add_comes_last(self) -> None:
        line = contact_header([a_binding("sip:a@h"), a_binding("sip:b@h")], NOW_MS, "received", lambda binding: f";x={binding.contact[4]}")
        assert line == "Contact: <sip:a@h>;expires=600;x=a, <sip:b@h>;expires=600;x=b\r\n"

    def test_quotes_within_a_value_do_not_end_it(self) -> None:
        (contact,) = listed(contact_header([a_binding("sip:a@h", instance='<a"b\\c>')], NOW_MS, "received"))
        assert contact.param("+sip.instance") == '<a"b\\c>'


class TestWhatIsLeft:
    """Rule R-4."""

    @pytest.mark.parametrize(("left_ms", "seconds"), [(60_000, 60), (59_999, 59), (1_000, 1), (999, 1), (1, 1)])
    def test_it_is_told_in_whole_seconds_that_have_not_passed_yet_and_is_never_zero(self, left_ms: int, seconds: int) -> None:
        entry = contact_entry(a_binding("sip:a@h", expires_at_ms=NOW_MS + left_ms), NOW_MS, "received")
        assert entry == f"<sip:a@h>;expires={seconds}"

    def test_the_contact_is_spelt_as_it_is_stored(self) -> None:
        assert contact_entry(a_binding("SIP:%61@Host;OB"), NOW_MS, "received").startswith("<SIP:%61@Host;OB>;")


class TestTheReceivedParameter:
    """Rule R-7."""

    def test_its_name_is_the_operator_s_and_its_value_is_always_quoted(self) -> None:
        entry = contact_entry(a_binding("sip:a@h", received="sip:192.0.2.9:1;transport=tcp"), NOW_MS, "rcv")
        assert entry.endswith(';rcv="sip:192.0.2.9:1;transport=tcp"')


class TestPreferences:
    """Rule S-25: the shortest decimal."""

    @pytest.mark.parametrize(("thousandths", "text"), [(0, "0"), (1, "0.001"), (125, "0.125"), (250, "0.25"), (500, "0.5"), (1000, "1")])
    def test_they_are_written_as_briefly_as_can_be(self, thousandths: int, text: str) -> None:
        assert q_text(thousandths) == text

    @given(st.integers(0, 1000))
    def test_each_reads_back_as_the_same(self, thousandths: int) -> None:
        assert qvalue(q_text(thousandths)) == thousandths


class TestTheDate:
    """RFC 3261 §10.3 step 8, §20.17."""

    def test_it_is_in_english_and_in_gmt(self) -> None:
        assert date_header(NOW_MS) == "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n"

    def test_it_goes_on_with_the_second(self) -> None:
        assert date_header(NOW_MS + 999) == date_header(NOW_MS)
        assert date_header(NOW_MS + 1000) == "Date: Tue, 14 Nov 2023 22:13:21 GMT\r\n"
