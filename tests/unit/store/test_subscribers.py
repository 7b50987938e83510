from __future__ import annotations

import hashlib

import pytest

from sipreg.registrar.ports import Credential
from sipreg.store.credentials import MemoryCredentials
from sipreg.store.subscribers import Subscriber, SubscriberError, ha1_for, is_user, packed, subscriber, unpacked


class TestHa1:
    """RFC 7616 §3.4.2."""

    def test_it_is_the_hash_of_user_realm_and_password_for_each_algorithm(self) -> None:
        text = b"alice:example.com:secret"
        assert ha1_for("alice", "example.com", "secret") == {
            "MD5": hashlib.md5(text, usedforsecurity=False).hexdigest(),
            "SHA-256": hashlib.sha256(text).hexdigest(),
        }

    def test_the_example_of_the_rfc_comes_out(self) -> None:
        """RFC 7616 §3.9.1: user, realm and password; the hash is that of the text, worked out elsewhere."""
        assert ha1_for("Mufasa", "http-auth@example.org", "Circle of Life")["MD5"] == "3d78807defe7de2157e2b0b6573a855f"

    def test_the_case_of_the_realm_does_not_matter(self) -> None:
        assert ha1_for("alice", "EXAMPLE.com", "secret") == ha1_for("alice", "example.com", "secret")


class TestNames:
    @pytest.mark.parametrize("user", ["alice", "+4930123456", "alice@example.com", "Ärztin", "with blank", "x" * 255])
    def test_a_usual_name_will_do(self, user: str) -> None:
        assert is_user(user)
        assert subscriber("Example.COM", user) == Subscriber("example.com", user)

    @pytest.mark.parametrize("user", ["", "a:b", "a\x7fb", "tab\t", "x" * 256, "ä" * 128, "\udcff"])
    def test_a_name_that_would_break_something_will_not(self, user: str) -> None:
        assert not is_user(user)
        with pytest.raises(SubscriberError, match="without ':'"):
            subscriber("example.com", user)

    def test_a_long_name_is_not_repeated_in_full(self) -> None:
        with pytest.raises(SubscriberError) as wrong:
            subscriber("example.com", "x" * 10_000)
        assert len(str(wrong.value)) < 200

    def test_a_subscriber_is_written_as_an_address(self) -> None:
        assert str(Subscriber("example.com", "alice")) == "alice@example.com"


class TestPacking:
    def test_what_is_stored_comes_back_as_a_credential(self) -> None:
        fields = {b"MD5": b"aa", b"SHA-256": b"bb", b"aors": "sales@example.com\närzte@example.com".encode()}
        data = packed(fields)
        assert data is not None
        assert unpacked(data) == Credential({"MD5": "aa", "SHA-256": "bb"}, ("sales@example.com", "ärzte@example.com"))

    def test_no_hash_is_no_subscriber(self) -> None:
        assert packed({}) is None

    def test_one_algorithm_is_enough(self) -> None:
        assert unpacked(packed({b"MD5": b"aa"}) or b"") == Credential({"MD5": "aa"})

    @pytest.mark.parametrize(
        "fields", [{b"SHA-512-256": b"cc"}, {b"aors": b""}, {b"password": b"clear"}, {b"MD5": b""}, {b"MD5": b"\xff \n"}]
    )
    def test_what_others_wrote_admits_nobody_and_breaks_nothing(self, fields: dict[bytes, bytes]) -> None:
        data = packed(fields)
        assert data is not None
        credential = unpacked(data)
        assert not any(len(value) > 1 for value in credential.ha1.values())
        assert credential.aors == ()


class TestAors:
    @pytest.mark.parametrize("aor", ["", "host", "@host", "user@", "a b@host", "user@[::x]", "x" * 511 + "@h", "a\n@host"])
    def test_what_is_no_address_is_refused(self, aor: str) -> None:
        with pytest.raises(SubscriberError, match=r"^AoR "):
            MemoryCredentials().add("example.com", "alice", "secret", [aor]).send(None)

    def test_more_than_are_bounded_are_refused(self) -> None:
        with pytest.raises(SubscriberError, match="65 AoRs are too many"):
            MemoryCredentials().add("example.com", "alice", "secret", [f"a{number}@example.com" for number in range(65)]).send(None)
