"""The manners of an edge towards whatever asks it, over UDP and TCP, on IPv4 and IPv6 (RFC 3261 §8.2, §11, §18.2; RFC 3581)."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from sipreg.message.model import Response
from sipreg.message.parser import parse_message
from support.edges import DOMAIN, RunningEdge, add_subscriber
from support.processes import free_port
from support.redis_servers import redis_server
from support.sip_client import Phone, listed, request_lines

URI = f"sip:{DOMAIN}"
TRANSPORTS = pytest.mark.parametrize("transport", ["udp", "tcp"])


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEdge]:
    """One edge on a store of its own, with the subscriber alice, who may register sales as well."""
    folder = tmp_path_factory.mktemp("edge")
    with redis_server(folder) as server:
        add_subscriber(server.url, "alice", "wonderland", DOMAIN, "--aor", f"sales@{DOMAIN}")
        with RunningEdge(folder, server.url) as running:
            yield running


@pytest.fixture(scope="module")
def edge6(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEdge]:
    """One edge on IPv6, which believes whoever asks."""
    try:
        free_port("::1")
    except OSError:
        pytest.skip("this machine has no IPv6 on its loopback interface; to have it: sysctl net.ipv6.conf.lo.disable_ipv6=0")
    with RunningEdge(tmp_path_factory.mktemp("edge6"), "memory", host="::1", auth="off") as running:
        yield running


def alice(**fields: str) -> Phone:
    return Phone(user="alice", domain=DOMAIN, password="wonderland", **fields)  # type: ignore[arg-type]  # (the texts among its fields)


def header(response: Response, name: str) -> str:
    value = response.headers.get(name)
    assert value is not None, f"no {name} in {list(response.headers)}"
    return value


def raw(lines: list[str], via: str) -> bytes:
    """Return a request with a Via of the test's own."""
    return "\r\n".join([lines[0], via, *lines[1:], "Content-Length: 0", "", ""]).encode()


class TestOptions:
    """RFC 3261 §11.2: what we can do is told to whoever asks."""

    @TRANSPORTS
    def test_the_answer_names_methods_and_bodies(self, edge: RunningEdge, transport: str) -> None:
        with edge.client(transport) as client:
            response = client.ask(request_lines(uri=URI))
        assert (response.status, response.reason) == (200, "OK")
        assert header(response, "allow") == "REGISTER, OPTIONS"
        assert header(response, "accept") == "application/sdp"

    def test_a_header_field_that_would_be_empty_is_left_out(self, edge: RunningEdge) -> None:
        with edge.client() as client:
            response = client.ask(request_lines(uri=URI))
        assert [name for name, value in response.headers if not value] == []
        assert "supported" not in response.headers

    def test_one_at_the_end_of_its_hops_is_meant_for_us(self, edge: RunningEdge) -> None:
        with edge.client() as client:
            assert client.ask(request_lines(uri=URI, max_forwards=0)).status == 200

    def test_what_a_response_must_repeat_goes_back_byte_for_byte(self, edge: RunningEdge) -> None:
        lines = request_lines(uri=URI, to='"A  \\"B\\"" <sip:x@y>  ; x=1')
        with edge.client() as client:
            response = client.ask(lines)
        for name in ("From", "Call-ID", "CSeq"):
            assert f"{name}: {header(response, name.lower())}" in lines
        assert header(response, "to").startswith('"A  \\"B\\"" <sip:x@y>  ; x=1;tag=')


class TestRefusals:
    """RFC 3261 §8.2: what cannot be done is refused, with what the client needs to do better."""

    @TRANSPORTS
    @pytest.mark.parametrize("method", ["MESSAGE", "SUBSCRIBE", "BYE", "PUBLISH", "FOO"])
    def test_other_methods_are_not_allowed_and_the_answer_names_those_that_are(
        self, edge: RunningEdge, transport: str, method: str
    ) -> None:
        with edge.client(transport) as client:
            response = client.ask(request_lines(method, uri=URI))
        assert response.status == 405
        assert header(response, "allow") == "REGISTER, OPTIONS"

    def test_a_cancel_finds_nothing_to_cancel(self, edge: RunningEdge) -> None:
        with edge.client() as client:
            assert client.ask(request_lines("CANCEL", uri=URI)).status == 481

    def test_an_extension_that_we_do_not_have_is_named(self, edge: RunningEdge) -> None:
        with edge.client() as client:
            response = client.ask(request_lines("REGISTER", uri=URI, extra=("Require: path, x-made-up", "Require: 100rel")))
        assert response.status == 420
        assert header(response, "unsupported") == "path, x-made-up, 100rel"

    def test_a_request_that_has_used_up_its_hops_goes_no_further(self, edge: RunningEdge) -> None:
        with edge.client() as client:
            assert client.ask(request_lines("REGISTER", uri=URI, max_forwards=0)).status == 483

    def test_a_request_without_max_forwards_is_one_of_rfc_2543_and_is_taken(self, edge: RunningEdge) -> None:
        with edge.client() as client:
            assert client.ask(request_lines(uri=URI, max_forwards=None)).status == 200

    def test_an_address_of_another_domain_is_not_ours(self, edge: RunningEdge) -> None:
        with edge.client() as client:
            assert client.ask(request_lines("REGISTER", uri=URI, to="<sip:alice@elsewhere.example>")).status == 404

    def test_a_register_to_another_domain_is_not_passed_on(self, edge: RunningEdge) -> None:
        with edge.client() as client:
            assert client.ask(request_lines("REGISTER", uri="sip:elsewhere.example", to=f"<sip:alice@{DOMAIN}>")).status == 403

    def test_a_cseq_of_another_method_is_a_bad_request(self, edge: RunningEdge) -> None:
        with edge.client() as client:
            response = client.ask(request_lines("REGISTER", uri=URI, cseq="1 INVITE"))
        assert (response.status, response.reason) == (400, "CSeq names another method")

    @pytest.mark.parametrize(
        ("extra", "reason"),
        [
            ("Expires: soon", "Expires parse error"),
            ("Contact: <sip:a@b", "Address with an opening bracket alone"),
            ("Bad Header: x", "Header name that is no token"),
            ("Content-Length: 5", "Content-Length does not parse"),
        ],
    )
    def test_what_cannot_be_read_but_can_be_answered_hears_why(self, edge: RunningEdge, extra: str, reason: str) -> None:
        phone = alice()
        with edge.client() as client:
            phone.take_challenge(client.ask(phone.register()))
            response = client.ask(phone.register(contacts=[], expires=None, extra=(extra,)))
        assert (response.status, response.reason) == (400, reason)
        assert header(response, "p-registrar-error") == reason

    @pytest.mark.parametrize("missing", ["Via", "From", "To", "Call-ID", "CSeq"])
    def test_what_cannot_even_be_answered_is_counted_and_forgotten(self, edge: RunningEdge, missing: str) -> None:
        before = edge.metric("sipreg_unparsable_messages_total")
        with edge.client() as client:
            whole = client.message(request_lines(uri=URI))
            client.send(b"\r\n".join(line for line in whole.split(b"\r\n") if not line.startswith(missing.encode())))
            after = client.ask(request_lines(uri=URI))
        assert after.status == 200
        assert edge.metric("sipreg_unparsable_messages_total") == before + 1

    def test_a_version_that_we_do_not_speak_is_told_so(self, edge: RunningEdge) -> None:
        with edge.client() as client:
            lines = request_lines(uri=URI)
            assert client.ask([lines[0].replace("SIP/2.0", "SIP/3.0"), *lines[1:]]).status == 505


class TestRegister:
    """RFC 3261 §10.3, as a phone sees it."""

    @TRANSPORTS
    def test_a_phone_registers_refreshes_and_unregisters(self, edge: RunningEdge, transport: str) -> None:
        phone = alice()
        with edge.client(transport) as client:
            first = client.register(phone, expires=600)
            assert first.status == 200
            assert listed(first)[phone.contact] == 600
            assert listed(client.register(phone, expires=900))[phone.contact] == 900
            gone = client.register(phone, expires=0)
        assert gone.status == 200
        assert phone.contact not in listed(gone)

    def test_compact_header_names_are_as_good(self, edge: RunningEdge) -> None:
        compact = {"From": "f", "To": "t", "Call-ID": "i", "Contact": "m", "Content-Length": "l", "Via": "v"}
        phone = alice()
        with edge.client() as client:
            challenge = client.ask(phone.register())
            phone.take_challenge(challenge)
            data = client.message(phone.register()).decode()
            for name, short in compact.items():
                data = data.replace(f"\r\n{name}: ", f"\r\n{short}: ")
            client.send(data.encode())
            assert phone.contact in listed(client.receive())
            client.register(phone, expires=0)

    def test_nobody_registers_for_another(self, edge: RunningEdge) -> None:
        phone = alice()
        with edge.client() as client:
            phone.take_challenge(client.ask(phone.register()))
            lines = phone.register()
            lines[lines.index(f"To: <sip:alice@{DOMAIN}>")] = f"To: <sip:bob@{DOMAIN}>"
            assert client.ask(lines).status == 403

    def test_an_address_that_was_granted_is_as_good_as_ones_own(self, edge: RunningEdge) -> None:
        phone = alice()
        with edge.client() as client:
            phone.take_challenge(client.ask(phone.register()))
            lines = phone.register()
            lines[lines.index(f"To: <sip:alice@{DOMAIN}>")] = f"To: <sip:sales@{DOMAIN}>"
            response = client.ask(lines)
        assert response.status == 200
        assert list(listed(response)) == [phone.contact]

    def test_a_wrong_password_is_challenged_again_and_changes_nothing(self, edge: RunningEdge) -> None:
        liar = alice()
        liar.password = "looking-glass"
        with edge.client() as client:
            assert client.register(liar).status == 401
            assert liar.contact not in listed(client.register(alice(), contacts=[], expires=None))


class TestWhereAnswersGo:
    """RFC 3261 §18.2.1 and §18.2.2, RFC 3581 §4."""

    def test_with_rport_the_answer_comes_to_where_the_request_left(self, edge: RunningEdge) -> None:
        lines = request_lines(uri=URI)
        with edge.client() as client:
            host, port = client.socket.getsockname()
            client.send(raw(lines, "Via: SIP/2.0/UDP phone.invalid:9;branch=z9hG4bKrport1;rport"))
            response = client.receive()
        assert header(response, "via") == f"SIP/2.0/UDP phone.invalid:9;branch=z9hG4bKrport1;rport={port};received={host}"

    def test_without_rport_it_goes_to_the_port_that_via_names(self, edge: RunningEdge) -> None:
        with edge.client() as client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            other.settimeout(5)
            port = other.getsockname()[1]
            client.send(raw(request_lines(uri=URI), f"Via: SIP/2.0/UDP phone.invalid:{port};branch=z9hG4bKsentby1"))
            response = parse_message(other.recv(65536))
        assert isinstance(response, Response)
        assert header(response, "via") == f"SIP/2.0/UDP phone.invalid:{port};branch=z9hG4bKsentby1;received=127.0.0.1"

    def test_over_tcp_it_comes_back_on_the_connection_whatever_via_says(self, edge: RunningEdge) -> None:
        with edge.client("tcp") as client:
            client.send(raw(request_lines(uri=URI), "Via: SIP/2.0/TCP 192.0.2.1:9;branch=z9hG4bKtcp1"))
            assert client.receive().status == 200

    def test_the_vias_of_proxies_on_the_way_go_back_in_their_order(self, edge: RunningEdge) -> None:
        others = ["SIP/2.0/TCP proxy.example;branch=z9hG4bK2", "SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bK1"]
        with edge.client() as client:
            response = client.ask(request_lines(uri=URI, extra=(f"Via: {others[0]}, {others[1]}",)))
        assert response.vias[1:] == others


class TestIpv6:
    """RFC 5118: the same on the newer network."""

    @TRANSPORTS
    def test_a_phone_registers(self, edge6: RunningEdge, transport: str) -> None:
        phone = Phone(user="carol", domain=DOMAIN, contact=f"sip:carol@[::1]:5099;transport={transport}")
        with edge6.client(transport) as client:
            response = client.register(phone)
            port = client.socket.getsockname()[1]
        assert listed(response)[phone.contact] == 600
        assert header(response, "via").endswith(f";rport={port};received=::1")


class TestKeepAlive:
    """RFC 5626 §3.5 and what NATs are fed by older clients."""

    @pytest.mark.parametrize("data", [b"\r\n", b"\r\n\r\n", b"\0", b"\0\0\0\0"])
    def test_over_udp_it_is_neither_answered_nor_counted(self, edge: RunningEdge, data: bytes) -> None:
        before = edge.metric("sipreg_unparsable_messages_total")
        with edge.client() as client:
            client.send(data)
            assert client.ask(request_lines(uri=URI)).status == 200
        assert edge.metric("sipreg_unparsable_messages_total") == before

    def test_over_tcp_a_double_line_end_is_answered_by_a_single_one(self, edge: RunningEdge) -> None:
        with edge.client("tcp") as client:
            client.send(b"\r\n\r\n")
            assert client.socket.recv(100) == b"\r\n"
