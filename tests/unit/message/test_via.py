"""Via: parsing (RFC 3261 §20.42), and what the first server adds to it (§18.2.1, RFC 3581)."""

from __future__ import annotations

import pytest

from sipreg.errors import BadMessage
from sipreg.message.params import parse_params
from sipreg.message.via import Via, parse_via, stamped


def stamp(text: str, host: str = "192.0.2.9", port: int = 40404) -> str:
    """Return the via-parm as a server would stamp it that got it from there."""
    return stamped(text, parse_via(text), host, port)


class TestParsing:
    """§20.42, §25.1 ``via-parm``."""

    @pytest.mark.parametrize(
        ("text", "via"),
        [
            ("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx;rport", Via("UDP", "192.0.2.1", 5060, "z9hG4bKx", "", None)),
            ("SIP/2.0/TCP pc33.example.com;branch=z9hG4bKx", Via("TCP", "pc33.example.com", None, "z9hG4bKx", None, None)),
            (
                "SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bKx;rport;alias",
                Via("WSS", "df7jal23ls0d.invalid", None, "z9hG4bKx", "", None),
            ),
            ("SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bKx", Via("TLS", "[2001:db8::1]", 5061, "z9hG4bKx", None, None)),
            ("SIP/2.0/UDP [::1];branch=z9hG4bKx", Via("UDP", "[::1]", None, "z9hG4bKx", None, None)),
            ("SIP/2.0/UDP h;rport;branch=z9hG4bKx", Via("UDP", "h", None, "z9hG4bKx", "", None)),
            ("SIP/2.0/UDP h;received=192.0.2.2;rport=99;branch=b", Via("UDP", "h", None, "b", "99", "192.0.2.2")),
            ("SIP/2.0/UDP h;received=2001:db8::2;branch=b", Via("UDP", "h", None, "b", None, "2001:db8::2")),
            ("SIP/2.0/UDP h", Via("UDP", "h", None, "", None, None)),
            ("sip/2.0/udp h;BRANCH=b;RPort;Received=1.2.3.4", Via("UDP", "h", None, "b", "", "1.2.3.4")),
            ("SIP/7.0/UDP h;branch=b;rport", Via("UDP", "h", None, "b", "", None)),
            ("SIP/2.0/SCTP h;ttl=16;maddr=224.2.0.1;branch=b", Via("SCTP", "h", None, "b", None, None)),
            ("SIP/2.0/TLS-SCTP h;branch=b", Via("TLS-SCTP", "h", None, "b", None, None)),
            (" SIP \t/ 2.0 /  UDP\t h : 5070 ; branch = b ; rport", Via("UDP", "h", 5070, "b", "", None)),
            ("SIP / 2.0 / UDP [2001:db8::1] :5070", Via("UDP", "[2001:db8::1]", 5070, "", None, None)),
            ('SIP/2.0/UDP h;x="a;branch=no;rport";branch=b', Via("UDP", "h", None, "b", None, None)),
            ("SIP/2.0/UDP h:65535;branch=b", Via("UDP", "h", 65535, "b", None, None)),
            ("SIP/2.0/UDP h : 65535", Via("UDP", "h", 65535, "", None, None)),
            ("SIP/2.0/UDP h:0;branch=b", Via("UDP", "h", 0, "b", None, None)),
        ],
    )
    def test_its_parts_are_told_apart(self, text: str, via: Via) -> None:
        assert parse_via(text) == via

    @pytest.mark.parametrize(
        "text",
        [
            "", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0 h", "SIP/x/UDP h;branch=b", "HTTP/2.0/UDP h", "SIP/2.0/UDPh", "SIP/2.0/ h", "UDP h",
            "SIP/2.0/UDP h:65536;branch=b", "SIP/2.0/UDP h:99999", "SIP/2.0/UDP h:123456", "SIP/2.0/UDP h:-1", "SIP/2.0/UDP h:5060x",
            "SIP/2.0/UDP h:",
            "SIP/2.0/UDP 2001:db8::1", "SIP/2.0/UDP [2001:db8::1", "SIP/2.0/UDP []", "SIP/2.0/UDP h h;branch=b", "SIP/2.0/UDP h branch=b",
            "SIP/2.0/UDP ;branch=b", 'SIP/2.0/UDP h;branch="b', "SIP/2.0/UDP h;=b", "\u017fIP/2.0/UDP h",
            "SIP/2.0/UDP \u212aamailio;branch=b",
            "SIP/2.0/UDP\u00a0h;branch=b", "SIP/2.0/UDP h, SIP/2.0/UDP g",
        ],
    )  # fmt: skip
    def test_anything_else_is_an_error(self, text: str) -> None:
        with pytest.raises(BadMessage):
            parse_via(text)


class TestReplyPort:
    """§18.2.2: the port in sent-by, or the transport's own."""

    @pytest.mark.parametrize(
        ("sent_by", "port"),
        [
            ("UDP h", 5060),
            ("TCP h", 5060),
            ("TLS h", 5061),
            ("WS h", 80),
            ("WSS h", 443),
            ("UDP h:5070", 5070),
            ("TLS h:5060", 5060),
            ("UDP h:0", 5060),
        ],
    )
    def test_a_port_that_is_left_out_is_that_of_the_transport(self, sent_by: str, port: int) -> None:
        assert parse_via(f"SIP/2.0/{sent_by};branch=b").reply_port == port


class TestReceived:
    """§18.2.1: ``received`` tells where a request came from, if sent-by does not."""

    def test_the_same_address_needs_none(self) -> None:
        assert stamp("SIP/2.0/UDP 192.0.2.9:5060;branch=b") == "SIP/2.0/UDP 192.0.2.9:5060;branch=b"

    def test_an_ipv6_address_is_the_same_without_its_brackets(self) -> None:
        assert stamp("SIP/2.0/UDP [2001:db8::9];branch=b", "2001:db8::9") == "SIP/2.0/UDP [2001:db8::9];branch=b"

    @pytest.mark.parametrize("sent_by", ["10.0.0.1:5060", "phone.example.com", "192.0.2.90"])
    def test_another_address_or_a_name_gets_it(self, sent_by: str) -> None:
        assert stamp(f"SIP/2.0/UDP {sent_by};branch=b") == f"SIP/2.0/UDP {sent_by};branch=b;received=192.0.2.9"

    def test_an_ipv6_address_stands_without_brackets_in_it(self) -> None:
        assert stamp("SIP/2.0/UDP h;branch=b", "2001:db8::9") == "SIP/2.0/UDP h;branch=b;received=2001:db8::9"


class TestRport:
    """RFC 3581 §4: the port goes into ``rport``, and ``received`` beside it whatever sent-by says."""

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("h;branch=b;rport", "h;branch=b;rport=40404;received=192.0.2.9"),
            ("192.0.2.9:40404;branch=b;rport", "192.0.2.9:40404;branch=b;rport=40404;received=192.0.2.9"),
            ("h;rport;branch=b", "h;rport=40404;branch=b;received=192.0.2.9"),
            ("h;branch=b;rport;alias", "h;branch=b;rport=40404;alias;received=192.0.2.9"),
            ("h;branch=b;rport=", "h;branch=b;rport=40404;received=192.0.2.9"),
            ("h;branch=b;RPORT", "h;branch=b;rport=40404;received=192.0.2.9"),
            ("h;branch=b; rport", "h;branch=b;rport=40404;received=192.0.2.9"),
            ("h;rport ;branch=b", "h;branch=b;rport=40404;received=192.0.2.9"),
            ("h;rportal=1;branch=b;rport", "h;rportal=1;branch=b;rport=40404;received=192.0.2.9"),
            ("h;rportal=1;rport;branch=b", "h;rportal=1;branch=b;rport=40404;received=192.0.2.9"),
            ('h;x="a;rport;b";rport;branch=b', 'h;x="a;rport;b";branch=b;rport=40404;received=192.0.2.9'),
        ],
    )
    def test_it_is_filled_in_once_and_where_it_counts(self, before: str, after: str) -> None:
        assert stamp(f"SIP/2.0/UDP {before}") == f"SIP/2.0/UDP {after}"

    def test_who_does_not_ask_gets_none(self) -> None:
        assert "rport" not in stamp("SIP/2.0/UDP h;branch=b")

    def test_one_that_only_looks_like_it_is_no_question(self) -> None:
        assert stamp("SIP/2.0/UDP h;branch=b;rportal") == "SIP/2.0/UDP h;branch=b;rportal;received=192.0.2.9"


class TestForgeries:
    """Whoever sends a request may not say where its answer goes in a server's name."""

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("h;branch=b;received=198.51.100.6", "h;branch=b;received=192.0.2.9"),
            ("192.0.2.9;branch=b;received=198.51.100.6", "192.0.2.9;branch=b"),
            ("h;received=198.51.100.6;branch=b;Received=198.51.100.7", "h;branch=b;received=192.0.2.9"),
            ("h;branch=b;rport=53", "h;branch=b;rport=40404;received=192.0.2.9"),
            ("h;branch=b;rport=53;rport", "h;branch=b;rport=40404;received=192.0.2.9"),
            ("h;rport=53;received=198.51.100.6;branch=b", "h;branch=b;rport=40404;received=192.0.2.9"),
            ("h ; branch=b ; received = 198.51.100.6 ; rport", "h; branch=b ;rport=40404;received=192.0.2.9"),
            ('h;x="a;received=1;b";branch=b;received=198.51.100.6', 'h;x="a;received=1;b";branch=b;received=192.0.2.9'),
        ],
    )
    def test_what_was_filled_in_is_replaced(self, before: str, after: str) -> None:
        assert stamp(f"SIP/2.0/UDP {before}") == f"SIP/2.0/UDP {after}"

    @pytest.mark.parametrize(
        "tail",
        ["", ";rport", ";rport=1", ";received=1.2.3.4", ';RPORT;x=";rport"', ";rport;alias", ";received;rport=", ';x="\\";received=1"'],
    )
    def test_a_stamped_via_reads_back_as_what_the_server_saw(self, tail: str) -> None:
        before = parse_via(f"SIP/2.0/UDP h:5070;branch=b{tail}")
        after = parse_via(stamp(f"SIP/2.0/UDP h:5070;branch=b{tail}"))
        assert (after.host, after.port, after.branch) == ("h", 5070, "b")
        assert after.received == "192.0.2.9"
        assert after.rport == (None if before.rport is None else "40404")

    def test_no_parameter_comes_twice(self) -> None:
        text = stamp("SIP/2.0/UDP h;branch=b;RPORT;received=1.2.3.4;x=1").partition(";")[2]
        assert len(parse_params(text)) == text.count(";") + 1
