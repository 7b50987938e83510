"""Typed views of what was received (RFC 3261 §7, §20)."""

from __future__ import annotations

import pytest

from sipreg.errors import BadMessage
from sipreg.message.address import NameAddr
from sipreg.message.contact import STAR, Contact
from sipreg.message.cseq import CSeq
from sipreg.message.model import MAX_SECONDS, capped_seconds
from sipreg.message.uri import SipUri
from sipreg.message.via import Via
from support.messages import VIA, a_register, a_request, a_response, parsed_request, parsed_response


class TestRequests:
    """§7.1, §8.1.1."""

    def test_each_header_that_a_request_must_have_can_be_asked_for(self) -> None:
        request = parsed_request(a_register(contact="<sip:alice@192.0.2.1>;expires=60", cseq="7 REGISTER"))
        assert (request.method, request.uri_text) == ("REGISTER", "sip:example.com")
        assert request.uri == SipUri("sip", "", "", "example.com", None, "", "")
        assert request.top_via == (Via("UDP", "192.0.2.1", 5060, "z9hG4bK74bf9", "", None), VIA)
        assert request.from_ == NameAddr("Alice", "sip:alice@example.com", ";tag=456248")
        assert request.to == NameAddr("", "sip:alice@example.com", "")
        assert request.call_id == "1j9FpLxk3uxtm8tn@192.0.2.1"
        assert request.cseq == CSeq(7, "REGISTER")
        assert request.max_forwards == 70
        assert request.contacts == (Contact("sip:alice@192.0.2.1", {"expires": "60"}),)
        assert request.seconds("expires", "Expires") == 3600

    def test_a_star_is_a_contact_too(self) -> None:
        assert parsed_request(a_register(contact="*")).contacts == STAR

    def test_a_query_has_no_contacts(self) -> None:
        assert parsed_request(a_register(contact=())).contacts == ()

    def test_old_clients_send_no_max_forwards(self) -> None:
        assert parsed_request(a_request().replace(b"Max-Forwards: 70\r\n", b"")).max_forwards is None

    @pytest.mark.parametrize(
        ("name", "prop", "shown"),
        [("To", "to", "To"), ("From", "from_", "From"), ("Call-ID", "call_id", "Call-ID"), ("CSeq", "cseq", "CSeq")],
    )
    def test_one_that_is_missing_empty_or_doubled_is_told_by_its_name(self, name: str, prop: str, shown: str) -> None:
        whole = a_register()
        line = next(line for line in whole.split(b"\r\n") if line.startswith(name.encode() + b":"))
        cases = {b"": "not found", name.encode() + b":\r\n": "not found", (line + b"\r\n") * 2: "more than once"}
        for replacement, what in cases.items():
            request = parsed_request(whole.replace(line + b"\r\n", replacement))
            with pytest.raises(BadMessage) as refused:
                getattr(request, prop)
            assert refused.value.reason == f"{shown} header {what}"

    def test_doubled_by_its_compact_form_is_doubled(self) -> None:
        request = parsed_request(a_register(extra=[("i", "another@192.0.2.1")]))
        with pytest.raises(BadMessage):
            request.required("call-id", "Call-ID")

    def test_without_a_via_there_is_no_topmost(self) -> None:
        for via in ((), ("",)):
            with pytest.raises(BadMessage):
                _ = parsed_request(a_register(via=via)).top_via


class TestVias:
    """§20.42: the topmost is the first of the first field."""

    def test_it_is_the_same_by_commas_and_by_fields(self) -> None:
        first, second, third = VIA, "SIP/2.0/TCP b;branch=z9hG4bKb", 'SIP/2.0/UDP c;branch=z9hG4bKc;x="1,2"'
        for via in ([first, second, third], [f"{first} , {second}", third], [first, f"{second},{third}"], [f"{first},{second},{third}"]):
            request = parsed_request(a_register(via=via))
            assert request.vias == [first, second, third]
            assert request.top_via[1] == first
            assert request.top_via[0].host == "192.0.2.1"

    def test_it_is_parsed_once(self) -> None:
        request = parsed_request(a_register())
        assert request.top_via is request.top_via
        assert request.cseq is request.cseq

    def test_a_comma_within_quotes_ends_none(self) -> None:
        text = 'SIP/2.0/UDP c;x="1,2";branch=z9hG4bKc'
        assert parsed_request(a_register(via=text)).top_via == (Via("UDP", "c", None, "z9hG4bKc", None, None), text)


class TestLists:
    """§7.3.1."""

    def test_option_tags_come_from_all_fields_in_lower_case(self) -> None:
        request = parsed_request(a_register(extra=[("Supported", "Path, outbound"), ("k", ""), ("Supported", "GRUU")]))
        assert request.option_tags("supported") == ["path", "outbound", "gruu"]
        assert request.option_tags("require") == []

    def test_addresses_come_in_their_order(self) -> None:
        request = parsed_request(a_register(extra=[("Path", "<sip:p1;lr>,<sip:p2;lr>;x=1"), ("Path", '"P, 3" <sip:p3>')]))
        assert [each.uri for each in request.addresses("path")] == ["sip:p1;lr", "sip:p2;lr", "sip:p3"]
        assert [each.params for each in request.addresses("path")] == ["", ";x=1", ""]

    @pytest.mark.parametrize("value", ["<sip:p1;lr>,", "<sip:p1;lr", "<>", "x <"])
    def test_one_bad_address_spoils_the_list(self, value: str) -> None:
        with pytest.raises(BadMessage):
            parsed_request(a_register(extra=[("Path", value)])).addresses("path")


class TestSeconds:
    """§20.19, delta-seconds; rules S-2 and S-22."""

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("0", 0),
            ("0060", 60),
            ("1000000000", 1_000_000_000),
            ("4294967295", 2**32 - 1),
            ("4294967296", MAX_SECONDS),
            ("9" * 5000, MAX_SECONDS),
            ("0" * 5000 + "5", 5),
        ],
    )
    def test_they_are_at_most_what_32_bits_can_say(self, text: str, seconds: int) -> None:
        assert parsed_request(a_register(expires=text)).seconds("expires", "Expires") == seconds
        assert capped_seconds(text) == seconds

    @pytest.mark.parametrize("text", ["", "-1", "1.5", "60s", "6 0", "Thu, 01 Dec 1994 16:00:00 GMT", "\u0663"])
    def test_no_number_is_an_error(self, text: str) -> None:
        request = parsed_request(a_register(expires=text or None, extra=[] if text else [("Expires", "")]))
        with pytest.raises(BadMessage) as refused:
            request.seconds("expires", "Expires")
        assert refused.value.reason == "Expires parse error"

    def test_an_absent_header_says_nothing(self) -> None:
        assert parsed_request(a_register(expires=None)).seconds("expires", "Expires") is None


class TestResponses:
    """§7.2."""

    def test_status_reason_and_headers_can_be_asked_for(self) -> None:
        response = parsed_response(a_response(423, "Interval Too Brief", extra=[("Min-Expires", "60")]))
        assert (response.status, response.reason) == (423, "Interval Too Brief")
        assert response.seconds("min-expires", "Min-Expires") == 60
        assert response.to.tag == "2493k59kd"
        assert response.top_via[0].received == "192.0.2.1"
        assert response.cseq == CSeq(1, "REGISTER")
