"""Which address-of-record a URI names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipreg.errors import BadMessage
from sipreg.registrar.aor import aor_uri, parse_aor, without_prefix
from sipreg.registrar.model import Aor
from sipreg.registrar.parameters import Parameters

USUAL = Parameters()


def aor_of(uri: str, **parameters: Any) -> str:
    return parse_aor(uri, Parameters(**parameters), "location").text


def refusal_of(uri: str, **parameters: Any) -> tuple[int, str]:
    with pytest.raises(BadMessage) as refused:
        parse_aor(uri, Parameters(**parameters), "location")
    return refused.value.status, refused.value.reason


class TestWhatMustParse:
    """Rule A-2."""

    @pytest.mark.parametrize("uri", ["alice@example.com", "sip:", "sip:alice@", "", "sip:alice@exa mple.com", "sip:a@h:99999"])
    def test_what_is_no_uri_names_no_address(self, uri: str) -> None:
        assert refusal_of(uri) == (400, "Error while parsing AOR")

    def test_a_uri_of_a_foreign_scheme_names_none_either(self) -> None:
        assert refusal_of("mailto:alice@example.com") == (400, "Error while parsing AOR")

    def test_the_uri_alone_is_refused_in_the_same_words(self) -> None:
        with pytest.raises(BadMessage, match=r"^Error while parsing AOR$"):
            aor_uri("alice@example.com")


class TestWhatPlaysNoPart:
    """Rule A-3."""

    @pytest.mark.parametrize(
        "uri",
        [
            "sip:alice@example.com",
            "sips:alice@example.com",
            "SIP:alice@example.com:5070",
            "sip:alice:secret@example.com",
            "sip:alice@example.com;transport=tcp;lr",
            "sip:alice@example.com?Subject=Hi",
        ],
    )
    def test_scheme_port_password_parameters_and_headers_make_no_other_address(self, uri: str) -> None:
        assert aor_of(uri) == "alice@example.com"

    def test_the_number_of_a_tel_uri_is_the_user_and_there_is_no_host(self) -> None:
        assert aor_of("tel:+4930123456;phone-context=example.com") == "+4930123456"

    def test_tables_know_nothing_of_each_other(self) -> None:
        assert parse_aor("sip:alice@example.com", USUAL, "other") == Aor("other", "alice@example.com")


class TestLengths:
    """Rule A-4, answered 4xx because it is the client's fault."""

    def test_the_longest_user_passes_and_one_more_does_not(self) -> None:
        assert aor_of(f"sip:{'u' * 64}@example.com") == f"{'u' * 64}@example.com"
        assert refusal_of(f"sip:{'u' * 65}@example.com") == (400, "Address Of Record too long")

    def test_the_longest_host_passes_and_one_more_does_not(self) -> None:
        assert aor_of(f"sip:alice@{'h' * 64}") == f"alice@{'h' * 64}"
        assert refusal_of(f"sip:alice@{'h' * 65}") == (400, "Address Of Record too long")

    def test_both_together_have_a_limit_of_their_own_that_counts_the_at_sign(self) -> None:
        assert aor_of("sip:abc@host", max_aor_len=8) == "abc@host"
        assert refusal_of("sip:abc@host", max_aor_len=7) == (400, "Address Of Record too long")

    def test_what_counts_is_the_length_before_escapes_are_decoded(self) -> None:
        assert refusal_of(f"sip:{'%61' * 22}@example.com") == (400, "Address Of Record too long")


class TestEscapes:
    """Rule A-5, without its limit to ASCII."""

    def test_two_spellings_of_one_user_are_one_address(self) -> None:
        assert aor_of("sip:A%62c@EX.com") == aor_of("sip:Abc@ex.com") == "Abc@ex.com"

    @pytest.mark.parametrize("user", ["al%", "al%6", "al%zz", "%%61"])
    def test_a_percent_sign_without_two_hexadecimal_digits_is_refused(self, user: str) -> None:
        assert refusal_of(f"sip:{user}@example.com") == (400, "Error while unescaping username")

    @pytest.mark.parametrize("user", ["al%00ice", "al%0D%0Aice", "al%1F", "al%7f", "al%C2%85"])
    def test_control_characters_are_refused(self, user: str) -> None:
        assert refusal_of(f"sip:{user}@example.com") == (400, "Error while unescaping username")

    @pytest.mark.parametrize("user", ["%FF", "%C3", "%ED%A0%80"])
    def test_bytes_that_are_no_utf_8_are_refused(self, user: str) -> None:
        assert refusal_of(f"sip:{user}@example.com") == (400, "Error while unescaping username")

    def test_raw_bytes_that_are_no_utf_8_are_refused_too(self) -> None:
        assert refusal_of("sip:al\udcffice@example.com") == (400, "Error while unescaping username")

    def test_a_user_in_escaped_utf_8_is_welcome(self) -> None:
        assert aor_of("sip:J%C3%BCrgen@example.com") == "Jürgen@example.com"

    def test_a_blank_that_is_escaped_is_no_control_character(self) -> None:
        assert aor_of("sip:al%20ice@example.com") == "al ice@example.com"


class TestDomains:
    """Rule A-6."""

    def test_without_domains_the_user_is_the_whole_address(self) -> None:
        assert aor_of("sip:alice@example.com", use_domain=False) == "alice"

    def test_the_prefix_is_taken_off_the_host(self) -> None:
        assert aor_of("sip:alice@sip.example.com", realm_prefix="sip.") == "alice@example.com"

    @pytest.mark.parametrize("host", ["sip.", "sap.example.com", "xsip.example.com"])
    def test_a_host_that_is_nothing_else_or_begins_otherwise_keeps_it(self, host: str) -> None:
        assert without_prefix(host, "sip.") == host

    def test_the_prefix_is_compared_before_letters_are_lowered(self) -> None:
        assert aor_of("sip:alice@SIP.example.com", realm_prefix="sip.") == "alice@sip.example.com"


class TestLetterCase:
    """Rule A-7."""

    def test_the_host_is_always_lowered_and_the_user_is_not(self) -> None:
        assert aor_of("sip:Alice@EXAMPLE.com") == "Alice@example.com"

    def test_the_user_is_lowered_where_users_know_no_case(self) -> None:
        assert aor_of("sip:Alice@EXAMPLE.com", case_sensitive=False) == "alice@example.com"

    def test_ipv6_hosts_are_one_address_however_they_are_spelt(self) -> None:
        assert aor_of("sip:alice@[2001:DB8:0:0::1]") == aor_of("sip:alice@[2001:db8::1]") == "alice@[2001:db8::1]"


class TestNoUser:
    """Rule A-8."""

    def test_the_host_alone_is_an_address_where_domains_count(self) -> None:
        assert aor_of("sip:Example.com") == "example.com"

    def test_it_is_none_where_they_do_not(self) -> None:
        assert refusal_of("sip:example.com", use_domain=False) == (400, "Error while parsing AOR")


class TestGruus:
    """Rule A-9."""

    def test_a_gr_parameter_is_passed_over(self) -> None:
        assert aor_of("sip:alice@example.com;gr=urn:uuid:1") == "alice@example.com"


@given(st.text(max_size=70))
def test_any_text_gives_an_address_or_a_refusal_and_never_one_with_control_characters(text: str) -> None:
    try:
        aor = parse_aor(f"sip:{text}@example.com", USUAL, "location")
    except BadMessage as refused:
        reason = refused.reason
    else:
        reason = ""
        assert aor.text.endswith("example.com")
        assert not any(ord(char) < 32 or 0x7F <= ord(char) <= 0x9F for char in aor.text)
        assert aor.text.encode()
    assert reason in ("", "Error while parsing AOR", "Address Of Record too long", "Error while unescaping username")
