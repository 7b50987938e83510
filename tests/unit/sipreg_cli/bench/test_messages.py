"""What the bench sends is SIP, and what it claims in a digest is right."""

from __future__ import annotations

import hashlib
import re

import pytest

from sipreg_cli.bench.messages import BRANCH, NUMBER_WIDTH, Account, Challenge, Templates, challenge_in, ha1

TEMPLATES = Templates("b1", "bench.example", "127.0.0.1", 5099)
USER = b"0000000007"
CHALLENGED = Challenge(realm="bench.example", nonce="abc", algorithm="MD5", stale=False, opaque=None)


def lines_of(message: bytes) -> tuple[str, dict[str, str]]:
    """Return (request line, header fields) after checking the frame: lines end in CRLF, no body, no field twice."""
    text = message.decode("ascii")
    assert text.endswith("\r\n\r\n")
    assert "\n" not in text.replace("\r\n", "")
    start, *rest = text[:-4].split("\r\n")
    found = [re.fullmatch(r"([A-Za-z-]+): (.+)", line) for line in rest]
    fields = {match[1]: match[2] for match in found if match is not None}
    assert len(fields) == len(rest)
    assert fields["Content-Length"] == "0"
    return start, fields


class TestRequests:
    """RFC 3261 §8.1.1 and §10.2."""

    @pytest.mark.parametrize(
        "message",
        [
            TEMPLATES.register(7, USER, 3, 600),
            TEMPLATES.authorized(7, USER, 3, 600, b"Digest x"),
            TEMPLATES.fetch(7, USER, 3),
            TEMPLATES.options(7, USER),
        ],
    )
    def test_every_request_has_what_a_request_must_have(self, message: bytes) -> None:
        start, fields = lines_of(message)
        method = start.split(" ")[0]
        assert start == f"{method} sip:bench.example SIP/2.0"
        assert fields["Via"] == "SIP/2.0/UDP 127.0.0.1:5099;branch=z9hG4bK0000000007;rport"
        assert fields["Max-Forwards"] == "70"
        assert ";tag=" in fields["From"]
        assert ";tag=" not in fields["To"]
        assert fields["CSeq"].endswith(f" {method}")
        assert fields["Call-ID"].startswith("0000000007-b1@")

    def test_the_number_stands_right_behind_the_mark(self) -> None:
        message = TEMPLATES.register(4_000_000_123, USER, 3, 600)
        at = message.find(BRANCH) + len(BRANCH)
        assert int(message[at : at + NUMBER_WIDTH]) == 4_000_000_123

    def test_a_register_is_that_of_a_usual_phone(self) -> None:
        message = TEMPLATES.register(7, USER, 3, 600)
        _, fields = lines_of(message)
        assert len(fields) == 13
        assert 520 <= len(message) <= 900
        assert fields["From"].startswith("<sip:b10000000007@bench.example>")
        assert fields["To"] == "<sip:b10000000007@bench.example>"
        assert fields["Contact"].startswith("<sip:b10000000007@127.0.0.1:5099;pn-provider=")
        assert re.search(r';\+sip\.instance="<urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}>";reg-id=1$', fields["Contact"])
        assert (fields["CSeq"], fields["Expires"]) == ("3 REGISTER", "600")

    def test_a_refresh_keeps_contact_and_call_id(self) -> None:
        _, first = lines_of(TEMPLATES.register(7, USER, 3, 600))
        _, later = lines_of(TEMPLATES.authorized(8, USER, 4, 600, b"Digest x"))
        assert [first[name] for name in ("Contact", "Call-ID", "From", "To")] == [
            later[name] for name in ("Contact", "Call-ID", "From", "To")
        ]
        assert later["Authorization"] == "Digest x"

    def test_a_fetch_has_no_contact(self) -> None:
        _, fields = lines_of(TEMPLATES.fetch(7, USER, 3))
        assert "Contact" not in fields
        assert "Expires" not in fields

    def test_two_phones_share_nothing_that_tells_them_apart(self) -> None:
        _, one = lines_of(TEMPLATES.register(7, b"0000000007", 3, 600))
        _, other = lines_of(TEMPLATES.register(8, b"0000000008", 3, 600))
        assert all(one[name] != other[name] for name in ("To", "From", "Call-ID", "Contact", "Via"))

    @pytest.mark.parametrize("domain", ["a b", "100%", "x\r\ny", "<x>", "ex\u00e4mple"])
    def test_a_domain_that_would_break_the_message_is_refused(self, domain: str) -> None:
        with pytest.raises(ValueError, match="not fit for a SIP URI"):
            Templates("b1", domain, "127.0.0.1", 5099)


class TestDigestAnswers:
    """RFC 7616 §3.4.1."""

    @pytest.mark.parametrize(("algorithm", "work"), [("MD5", hashlib.md5), ("SHA-256", hashlib.sha256)])
    def test_the_response_is_what_the_standard_says(self, algorithm: str, work: type) -> None:
        challenge = Challenge(realm="r x", nonce="n:1", algorithm=algorithm, stale=False, opaque="o")
        account = Account(challenge, "alice", "secret", "sip:bench.example")

        def digest(text: str) -> str:
            return str(work(text.encode()).hexdigest())

        for count in ("00000001", "00000002"):
            params = dict(re.findall(r'(\w+)="?([^",]+)"?(?:, |$)', account.credentials().decode().removeprefix("Digest ")))
            a1, a2 = digest("alice:r x:secret"), digest("REGISTER:sip:bench.example")
            assert params.pop("response") == digest(f"{a1}:n:1:{count}:{params['cnonce']}:auth:{a2}")
            assert params.pop("cnonce")
            assert params == {
                "username": "alice",
                "realm": "r x",
                "nonce": "n:1",
                "uri": "sip:bench.example",
                "algorithm": algorithm,
                "qop": "auth",
                "nc": count,
                "opaque": "o",
            }

    def test_ha1_is_the_hash_of_user_realm_and_password(self) -> None:
        assert ha1("MD5", "Mufasa", "testrealm@host.com", "Circle Of Life") == "939e7578ed9e3c518a452acee763bce9"

    def test_without_opaque_none_is_sent(self) -> None:
        assert b"opaque" not in Account(CHALLENGED, "alice", "secret", "sip:bench.example").credentials()


class TestChallenges:
    """RFC 3261 §20.44; several algorithms, RFC 8760 §2.3."""

    ANSWER = (
        b"SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP h\r\n"
        b'WWW-Authenticate: Digest realm="r", nonce="n256", algorithm=SHA-256, qop="auth"\r\n'
        b'www-authenticate: Digest realm="r", nonce="n5", algorithm=MD5, qop="auth", stale=true\r\n\r\n'
    )

    def test_the_challenge_of_the_wanted_algorithm_is_taken(self) -> None:
        assert challenge_in(self.ANSWER, "SHA-256") == Challenge("r", "n256", "SHA-256", stale=False, opaque=None)
        assert challenge_in(self.ANSWER, "MD5") == Challenge("r", "n5", "MD5", stale=True, opaque=None)

    def test_without_an_algorithm_it_is_md5(self) -> None:
        answer = b'SIP/2.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm="r", nonce="n", opaque="o"\r\n\r\n'
        assert challenge_in(answer, "MD5") == Challenge("r", "n", "MD5", stale=False, opaque="o")

    @pytest.mark.parametrize(
        "answer",
        [
            b"SIP/2.0 401 Unauthorized\r\n\r\n",
            b"WWW-Authenticate: Basic realm=x\r\n",
            b'a\r\nWWW-Authenticate: Digest realm="r\r\n',
            b"\xff",
        ],
    )
    def test_what_is_no_challenge_gives_none(self, answer: bytes) -> None:
        assert challenge_in(answer, "MD5") is None
