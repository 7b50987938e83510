"""What is read from a REGISTER before anything is decided."""

from __future__ import annotations

from typing import Any

import pytest

from sipreg.errors import BadMessage
from sipreg.registrar.model import ALL_METHODS, Q_UNSET
from sipreg.registrar.parameters import MAX_CALL_ID_LEN, MAX_CONTACTS_PER_REGISTER, Parameters
from sipreg.registrar.registration import Registration, WantedContact, read_registration
from support.builders import AOR, a_register, an_arrival


def read(*headers: str, call_id: str = "call-1", cseq: int = 2, **parameters: Any) -> Registration:
    return read_registration(a_register(*headers, call_id=call_id, cseq=cseq), AOR, an_arrival(), Parameters(**parameters))


def only(*headers: str, **parameters: Any) -> WantedContact:
    (contact,) = read(*headers, **parameters).contacts
    return contact


def refusal_of(*headers: str, **more: Any) -> tuple[int, str]:
    with pytest.raises(BadMessage) as refused:
        read(*headers, **more)
    return refused.value.status, refused.value.reason


class TestTheWholeMessage:
    """Rule S-2."""

    def test_what_orders_requests_is_taken_as_it_stands(self) -> None:
        registration = read(call_id="Call-1@Host", cseq=2147483647)
        assert (registration.aor, registration.call_id, registration.cseq) == (AOR, "Call-1@Host", 2147483647)

    @pytest.mark.parametrize("value", ["xyz", "", "-1", "60s", "1.5"])
    def test_an_expires_header_that_is_no_number_refuses_it_even_where_every_contact_has_its_own(self, value: str) -> None:
        assert refusal_of("Contact: <sip:a@h>;expires=60", f"Expires: {value}") == (400, "Expires parse error")

    def test_a_cseq_that_is_no_number_refuses_it(self) -> None:
        request = a_register()
        request.headers.first["cseq"] = "two REGISTER"
        with pytest.raises(BadMessage, match="CSeq"):
            read_registration(request, AOR, an_arrival(), Parameters())

    @pytest.mark.parametrize(("name", "shown"), [("call-id", "Call-ID"), ("cseq", "CSeq")])
    def test_without_what_orders_requests_it_is_refused(self, name: str, shown: str) -> None:
        request = a_register()
        del request.headers.first[name]
        with pytest.raises(BadMessage, match=f"^{shown} header not found$"):
            read_registration(request, AOR, an_arrival(), Parameters())

    def test_the_time_of_its_arrival_goes_with_it(self) -> None:
        assert read().arrival == an_arrival()


class TestContactsThatDoNotParse:
    """Rule S-3."""

    @pytest.mark.parametrize("contact", ["<sip:a@h", "<>", '"Alice <sip:a@h>', "*;expires=0", "<sip:a@h>;=1", '<sip:a@h>;x="'])
    def test_they_refuse_the_request(self, contact: str) -> None:
        assert refusal_of(f"Contact: {contact}", "Expires: 0")[0] == 400


class TestTheStar:
    """Rule S-10."""

    def test_with_an_interval_of_zero_it_stands_for_all_bindings(self) -> None:
        registration = read("Contact: *", "Expires: 0")
        assert registration.star
        assert registration.contacts == ()

    @pytest.mark.parametrize("headers", [("Contact: *",), ("Contact: *", "Expires: 60")])
    def test_with_another_interval_or_none_it_is_refused(self, headers: tuple[str, ...]) -> None:
        assert refusal_of(*headers) == (400, "* used in contact and expires is not zero")

    @pytest.mark.parametrize(
        "headers",
        [("Contact: *", "Contact: <sip:a@h>"), ("Contact: <sip:a@h>", "Contact: *"), ("Contact: *, <sip:a@h>",), ("Contact: *,*",)],
    )
    def test_beside_another_contact_it_is_refused(self, headers: tuple[str, ...]) -> None:
        assert refusal_of(*headers, "Expires: 0") == (400, "* used in contact and more than 1 contact")


class TestTheQuery:
    """Rule S-14."""

    def test_without_a_contact_nothing_is_wanted(self) -> None:
        registration = read("Expires: 0")
        assert not registration.star
        assert registration.contacts == ()


class TestTheOrderOfContacts:
    """Rule S-15."""

    def test_header_fields_count_top_down_and_their_entries_from_left_to_right(self) -> None:
        registration = read("Contact: <sip:a@h>, <sip:b@h>", "m: <sip:c@h>")
        assert [contact.uri for contact in registration.contacts] == ["sip:a@h", "sip:b@h", "sip:c@h"]

    def test_there_may_be_as_many_as_each_answer_can_hold_and_no_more(self) -> None:
        most = [f"Contact: <sip:{number}@h>" for number in range(MAX_CONTACTS_PER_REGISTER)]
        assert len(read(*most).contacts) == 32
        assert refusal_of(*most, "Contact: <sip:x@h>") == (400, "Too many contacts in one request")


class TestTheLengthOfContacts:
    """Rule S-11, corrected: all are measured."""

    def test_the_longest_passes_and_one_more_character_does_not(self) -> None:
        assert len(only(f"Contact: <sip:{'a' * 249}@h>").uri) == 255
        assert refusal_of(f"Contact: <sip:{'a' * 250}@h>") == (400, "Contact/received too long")

    def test_those_behind_the_first_are_measured_as_well(self) -> None:
        long = f"<sip:{'a' * 250}@h>"
        assert refusal_of(f"Contact: <sip:a@h>, {long}") == (400, "Contact/received too long")
        assert refusal_of("Contact: <sip:a@h>", f"Contact: {long}") == (400, "Contact/received too long")

    def test_the_limit_can_be_another_or_none(self) -> None:
        assert refusal_of("Contact: <sip:alice@h>", max_contact_len=8) == (400, "Contact/received too long")
        assert len(only(f"Contact: <sip:{'a' * 500}@h>", max_contact_len=0).uri) == 506


class TestIntervals:
    """Rule S-21."""

    def test_each_contact_asks_for_itself_and_the_header_for_those_that_do_not(self) -> None:
        registration = read("Contact: <sip:a@h>;expires=60, <sip:b@h>, <sip:c@h>;expires=0, <sip:d@h>;expires", "Expires: 900")
        assert [contact.requested for contact in registration.contacts] == [60, 900, 0, 900]

    def test_one_that_says_a_word_leaves_it_to_us(self) -> None:
        assert only("Contact: <sip:a@h>;expires=abc", "Expires: 900").requested is None

    def test_where_nobody_asks_it_is_left_to_us(self) -> None:
        assert only("Contact: <sip:a@h>").requested is None

    def test_a_parameter_without_brackets_is_the_contact_s_and_not_the_uri_s(self) -> None:
        contact = only("Contact: sip:a@h;expires=60")
        assert (contact.uri, contact.requested) == ("sip:a@h", 60)

    def test_a_parameter_within_the_brackets_is_the_uri_s(self) -> None:
        contact = only("Contact: <sip:a@h;expires=60>")
        assert (contact.uri, contact.requested) == ("sip:a@h;expires=60", None)


class TestPreference:
    """Rule S-25."""

    @pytest.mark.parametrize(
        ("q", "thousandths"), [("1", 1000), ("1.0", 1000), ("0", 0), ("0.5", 500), (".25", 250), ("0.1259", 125), ("0.", 0), ("00.5", 500)]
    )
    def test_it_is_kept_in_thousandths(self, q: str, thousandths: int) -> None:
        assert only(f"Contact: <sip:a@h>;q={q}").q == thousandths

    @pytest.mark.parametrize("q", ["1.5", "2", "abc", ".", "-1", "0.5x", "1.001", '"0.5"'])
    def test_a_bad_one_refuses_the_request(self, q: str) -> None:
        assert refusal_of(f"Contact: <sip:a@h>;q={q}") == (400, "Invalid q param in contact")

    @pytest.mark.parametrize("param", ["", ";q", ";q="])
    def test_without_one_it_is_the_default(self, param: str) -> None:
        assert only(f"Contact: <sip:a@h>{param}").q == Q_UNSET
        assert only(f"Contact: <sip:a@h>{param}", default_q=700).q == 700


class TestCallId:
    """Rule S-26."""

    def test_the_longest_passes_and_one_more_character_does_not(self) -> None:
        assert len(read(call_id="c" * MAX_CALL_ID_LEN).call_id) == 255
        assert refusal_of(call_id="c" * 256) == (400, "Callid too long")

    def test_blanks_at_its_end_are_no_part_of_it(self) -> None:
        assert read(call_id="call-1 \t ").call_id == "call-1"


class TestUserAgent:
    """Rule S-27."""

    def test_it_is_kept_unless_it_is_missing_or_long(self) -> None:
        assert read("User-Agent: Phone/1.0 (desk)").user_agent == "Phone/1.0 (desk)"
        assert read("User-Agent: " + "x" * 254).user_agent == "x" * 254
        assert read("User-Agent: " + "x" * 255).user_agent == ""
        assert read().user_agent == ""


class TestMethods:
    """Rule S-28."""

    def test_the_contact_is_heard_first(self) -> None:
        assert only('Contact: <sip:a@h>;methods="INVITE, BYE"', "Allow: INVITE").methods == 9
        assert only("Contact: <sip:a@h>;methods=INVITE", "Allow: BYE").methods == 1

    def test_then_all_allow_headers_together(self) -> None:
        assert only("Contact: <sip:a@h>", "Allow: INVITE, ACK", "Allow: BYE").methods == 13

    @pytest.mark.parametrize("headers", [(), ("Allow:",), ("Allow: IN VITE",)])
    def test_without_either_or_with_an_allow_that_does_not_parse_it_takes_everything(self, headers: tuple[str, ...]) -> None:
        assert only("Contact: <sip:a@h>", *headers).methods == ALL_METHODS

    @pytest.mark.parametrize("methods", ['"INVITE;x"', '""', '"INVITE,"'])
    def test_a_bad_methods_parameter_refuses_the_request(self, methods: str) -> None:
        assert refusal_of(f"Contact: <sip:a@h>;methods={methods}") == (400, "Message parse error")


class TestInstance:
    """Rule S-29, RFC 5626 §4.1 and §4.2."""

    def test_it_is_kept_with_its_brackets_and_without_its_quotes(self) -> None:
        assert only('Contact: <sip:a@h>;+sip.instance="<urn:uuid:1>"').instance == "<urn:uuid:1>"
        assert only('Contact: <sip:a@h>;+SIP.Instance="<urn:uuid:1>"').instance == "<urn:uuid:1>"

    def test_a_quote_without_its_end_refuses_the_request(self) -> None:
        assert refusal_of('Contact: <sip:a@h>;+sip.instance="<urn')[0] == 400

    def test_one_that_is_too_long_to_keep_is_refused(self) -> None:
        assert len(only(f'Contact: <sip:a@h>;+sip.instance="<{"u" * 251}>"').instance) == 253
        assert refusal_of(f'Contact: <sip:a@h>;+sip.instance="<{"u" * 252}>"') == (400, "Instance too long")

    @pytest.mark.parametrize(("text", "reg_id"), [("1", 1), ("2147483647", 2147483647), ("0001", 1)])
    def test_a_reg_id_goes_up_to_below_two_to_the_thirty_first(self, text: str, reg_id: int) -> None:
        assert only(f"Contact: <sip:a@h>;reg-id={text}").reg_id == reg_id

    @pytest.mark.parametrize("text", ["0", "2147483648", "-1", "x", "", "9" * 400])
    def test_nonsense_in_its_place_counts_as_none(self, text: str) -> None:
        assert only(f"Contact: <sip:a@h>;reg-id={text}").reg_id == 0


class TestNothingIsInherited:
    """Rule S-35, corrected: each contact has what it says itself."""

    def test_what_one_contact_says_is_not_said_of_the_next(self) -> None:
        first, second = read('Contact: <sip:a@h>;+sip.instance="<urn:uuid:1>";reg-id=1;q=0.5;methods="BYE";expires=60, <sip:b@h>').contacts
        assert (first.instance, first.reg_id, first.q, first.methods, first.requested) == ("<urn:uuid:1>", 1, 500, 8, 60)
        assert second == WantedContact("sip:b@h", None, Q_UNSET, ALL_METHODS, "", 0)
