"""SIP, SIPS and tel URIs: parsing (RFC 3261 §19.1.1) and comparison (§19.1.4, RFC 3966 §4)."""

from __future__ import annotations

import pytest

from sipreg.errors import BadMessage
from sipreg.message.uri import OtherUri, SipUri, TelUri, canonical_host, parse_sip_uri, parse_uri, parse_uri_params, same_uri

UNUSUAL_USER = "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
UNUSUAL_PASSWORD = "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"


def same(a: str, b: str) -> bool:
    """Return whether two URIs are equivalent, after checking that it does not matter which comes first."""
    forth, back = same_uri(parse_uri(a), parse_uri(b)), same_uri(parse_uri(b), parse_uri(a))
    assert forth == back
    return forth


class TestSipUris:
    """§19.1.1, §25.1 ``SIP-URI``."""

    @pytest.mark.parametrize(
        ("text", "uri"),
        [
            ("sip:alice@atlanta.com", SipUri("sip", "alice", "", "atlanta.com", None, "", "")),
            (
                "sip:alice:secretword@atlanta.com;transport=tcp",
                SipUri("sip", "alice", "secretword", "atlanta.com", None, "transport=tcp", ""),
            ),
            (
                "sips:alice@atlanta.com?subject=project%20x&priority=urgent",
                SipUri("sips", "alice", "", "atlanta.com", None, "", "subject=project%20x&priority=urgent"),
            ),
            (
                "sip:+1-212-555-1212:1234@gateway.com;user=phone",
                SipUri("sip", "+1-212-555-1212", "1234", "gateway.com", None, "user=phone", ""),
            ),
            ("sips:1212@gateway.com", SipUri("sips", "1212", "", "gateway.com", None, "", "")),
            ("sip:alice@192.0.2.4:5070", SipUri("sip", "alice", "", "192.0.2.4", 5070, "", "")),
            (
                "sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
                SipUri("sip", "", "", "atlanta.com", None, "method=REGISTER", "to=alice%40atlanta.com"),
            ),
            ("sip:alice;day=tuesday@atlanta.com", SipUri("sip", "alice;day=tuesday", "", "atlanta.com", None, "", "")),
            ("sip:alice@[2001:db8::1]:5061;lr", SipUri("sip", "alice", "", "[2001:db8::1]", 5061, "lr", "")),
            ("sip:[::ffff:192.0.2.1]", SipUri("sip", "", "", "[::ffff:192.0.2.1]", None, "", "")),
            ("SIPS:Alice@Atlanta.COM", SipUri("sips", "Alice", "", "Atlanta.COM", None, "", "")),
            ("sip:alice:@h", SipUri("sip", "alice", "", "h", None, "", "")),
            (
                f"sip:{UNUSUAL_USER}:{UNUSUAL_PASSWORD}@example.com",
                SipUri("sip", UNUSUAL_USER, UNUSUAL_PASSWORD, "example.com", None, "", ""),
            ),
            ("sip:null-%00-null@example.com", SipUri("sip", "null-%00-null", "", "example.com", None, "", "")),
            ("sip:sips%3Auser%40example.com@example.net", SipUri("sip", "sips%3Auser%40example.com", "", "example.net", None, "", "")),
            ("sip:gr\u00fcn@example.com", SipUri("sip", "gr\u00fcn", "", "example.com", None, "", "")),
            ("sip:h:65535", SipUri("sip", "", "", "h", 65535, "", "")),
            ("sip:h:065;x", SipUri("sip", "", "", "h", 65, "x", "")),
            ("sip:h?a=b?c", SipUri("sip", "", "", "h", None, "", "a=b?c")),
            ("sip:a@h;;lr;?", SipUri("sip", "a", "", "h", None, ";lr;", "")),
            ("sip:h;x=[1:2]/$", SipUri("sip", "", "", "h", None, "x=[1:2]/$", "")),
        ],
    )
    def test_its_parts_are_told_apart_and_stay_as_they_stand(self, text: str, uri: SipUri) -> None:
        assert parse_uri(text) == uri
        assert parse_sip_uri(text) == uri

    @pytest.mark.parametrize(
        "text",
        [
            "sip:", "sip:@h", "sip:a@", "sip:a@b@c", "sip:a b@c", "sip: a@b", "sip:a@b ", " sip:a@b", "sip:a@b:", "sip:a@b:x", "sip:a@b:-1",
            "sip:a@b:65536", "sip:a@b:999999", "sip:a@[2001:db8::1", "sip:a@2001:db8::1", "sip:a@[]", "sip:a@[:::1]", "sip:a@[1.2.3.4]",
            "sip:a@[12345::]",
            "sip:a@h\x00", "sip:a\x7f@h", "sip:<a@h>", 'sip:"a"@h', "sip:a@h;x={y}", "sip:a@h;x=a|b", "sip:a@h/path", "sip:a@b%20c",
            "sip:a@b,c", "sip://a@b/",
            "sip:a:b:c@h", "sip:a@\u017fip.example", "sip:a@\u212aamailio.example", "sip:a@\u0131.example", "sips", "sip:a@h\n",
        ],
    )  # fmt: skip
    def test_anything_else_that_says_it_is_one_is_an_error(self, text: str) -> None:
        with pytest.raises(BadMessage):
            parse_uri(text)

    def test_another_scheme_is_refused_where_a_sip_uri_must_stand(self) -> None:
        with pytest.raises(BadMessage):
            parse_sip_uri("tel:+12015550123")

    def test_parameters_are_asked_for_by_name_and_have_no_case(self) -> None:
        uri = parse_sip_uri("sip:a@h;Transport=TCP;lr;x=1;X=2;;=3")
        assert [uri.param(name) for name in ("transport", "lr", "x", "ob")] == ["TCP", "", "1", None]
        assert parse_uri_params(uri.params) == {"transport": "TCP", "lr": "", "x": "1"}

    def test_one_without_parameters_has_none(self) -> None:
        assert parse_sip_uri("sip:a@h").param("lr") is None


class TestOtherUris:
    """§19.1.6, RFC 3966; and schemes that we only pass on."""

    @pytest.mark.parametrize(
        ("text", "uri"),
        [
            ("tel:+1-201-555-0123", TelUri("+1-201-555-0123", "")),
            ("TEL:7042;phone-context=example.com;ext=1", TelUri("7042", "phone-context=example.com;ext=1")),
            ("mailto:alice@example.com", OtherUri("mailto", "mailto:alice@example.com")),
            ("HTTP://example.com/~alice?x=1", OtherUri("http", "HTTP://example.com/~alice?x=1")),
            ("urn:service:sos", OtherUri("urn", "urn:service:sos")),
            ("nobodyKnowsThisScheme:totallyopaquecontent", OtherUri("nobodyknowsthisscheme", "nobodyKnowsThisScheme:totallyopaquecontent")),
        ],
    )
    def test_they_are_told_by_their_scheme(self, text: str, uri: TelUri | OtherUri) -> None:
        assert parse_uri(text) == uri

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "alice",
            "alice@example.com",
            ":x",
            "x:",
            "tel:",
            "tel:;ext=1",
            "1a:b",
            "a b:c",
            "http:a b",
            "http:<a>",
            "\u017fip:a@h",
            "\u212a:x",
        ],
    )
    def test_what_has_no_scheme_or_nothing_behind_it_is_an_error(self, text: str) -> None:
        with pytest.raises(BadMessage):
            parse_uri(text)


class TestEquivalence:
    """§19.1.4, its rules and all of its examples."""

    @pytest.mark.parametrize(
        ("a", "b"),
        [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
            ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            ("sip:alice@atlanta.com?subject=project%20x&priority=urgent", "sip:alice@atlanta.com?priority=urgent&subject=project%20x"),
            ("SIP:alice@atlanta.com", "sip:alice@atlanta.com"),
            ("sip:alice@h;lr", "sip:alice@h"),
            ("sip:alice@h;x=%41b", "sip:alice@h;X=aB"),
            ("sip:alice@h;%58=1", "sip:alice@h;x=1"),
            ("sip:alice@h?Subject=x", "sip:alice@h?subject=x"),
            ("sip:alice@[2001:DB8:0:0::1]", "sip:alice@[2001:db8::1]"),
            ("sip:h:5060", "sip:h:05060"),
            ("sip:%C3%A9@h", "sip:\u00e9@h"),
        ],
    )
    def test_these_are_the_same(self, a: str, b: str) -> None:
        assert same(a, b)

    @pytest.mark.parametrize(
        ("a", "b"),
        [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:alice@h", "sips:alice@h"),
            ("sip:alice@h", "sip:Alice@h"),
            ("sip:alice@h", "sip:h"),
            ("sip:alice:x@h", "sip:alice@h"),
            ("sip:alice:x@h", "sip:alice:X@h"),
            ("sip:alice@h:5060", "sip:alice@h:5061"),
            ("sip:alice@h?a=1", "sip:alice@h?a=2"),
            ("sip:alice@h?a=1", "sip:alice@h?a=1&b=2"),
            ("sip:alice@h?a=x", "sip:alice@h?a=X"),
            ("sip:alice@[2001:db8::1]", "sip:alice@[2001:db8::2]"),
            ("sip:alice@h", "tel:+12015550123"),
            ("sip:alice%3Apw@h", "sip:alice:pw@h"),
        ],
    )
    def test_these_are_not(self, a: str, b: str) -> None:
        assert not same(a, b)

    @pytest.mark.parametrize("param", ["user=phone", "ttl=15", "method=INVITE", "maddr=239.255.255.1", "transport=tcp"])
    def test_five_parameters_are_never_ignored(self, param: str) -> None:
        assert not same("sip:alice@h", f"sip:alice@h;{param}")
        assert same(f"sip:alice@h;{param.upper()}", f"sip:alice@h;lr;{param}")

    def test_it_cannot_be_followed_from_one_to_the_next(self) -> None:
        on, plain, off = "sip:carol@chicago.com;security=on", "sip:carol@chicago.com", "sip:carol@chicago.com;security=off"
        assert same(on, plain)
        assert same(plain, off)
        assert not same(on, off)

    def test_a_malformed_escape_is_an_error(self) -> None:
        with pytest.raises(BadMessage):
            same_uri(parse_uri("sip:a%zz@h"), parse_uri("sip:a@h"))

    @pytest.mark.parametrize(
        ("a", "b", "equal"),
        [
            ("tel:+1-201-555-0123", "tel:+1(201)555.0123", True),
            ("tel:+12015550123;Ext=5;isub=A", "tel:+12015550123;isub=a;ext=5", True),
            ("tel:7042;phone-context=EXAMPLE.com", "tel:7042;phone-context=example.com", True),
            ("tel:+12015550123", "tel:12015550123", False),
            ("tel:+12015550123", "tel:+12015550123;ext=5", False),
            ("tel:7042;phone-context=a.example", "tel:7042;phone-context=b.example", False),
        ],
    )
    def test_telephone_numbers_compare_by_their_digits_and_parameters(self, a: str, b: str, equal: bool) -> None:
        assert same(a, b) is equal

    def test_other_schemes_compare_as_text(self) -> None:
        assert same("urn:service:sos", "urn:service:sos")
        assert not same("urn:service:sos", "urn:service:SOS")


class TestHosts:
    """§19.1.4: hosts have no case; RFC 5952 gives an IPv6 address one form."""

    @pytest.mark.parametrize(
        ("host", "form"),
        [
            ("Example.COM", "example.com"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8:0:0:0:0:0:1]", "[2001:db8::1]"),
            ("[::FFFF:C000:201]", "[::ffff:c000:201]"),
        ],
    )
    def test_each_has_one_form(self, host: str, form: str) -> None:
        assert canonical_host(host) == form

    @pytest.mark.parametrize("host", ["[]", "[1.2.3.4]", "[::1::2]", "[1:2:3:4:5:6:7:8:9]"])
    def test_brackets_that_hold_no_ipv6_address_are_an_error(self, host: str) -> None:
        with pytest.raises(BadMessage):
            canonical_host(host)
