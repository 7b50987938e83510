"""RFC 3261 §17.2.3: matching requests to server transactions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipreg.transaction.key import MAX_KEY, is_unique, legacy_key, server_key

BRANCH = "z9hG4bK776asdhds"
SOURCE = "192.0.2.7:5060"


def a_key(method: str = "REGISTER", branch: str = BRANCH, sent_by: str = "pc33.example.com:5060", source: str = SOURCE) -> str:
    return server_key(method, branch, sent_by, source)


def a_legacy_key(  # as many values as the second list of §17.2.3 has
    method: str = "INVITE",
    request_uri: str = "sip:bob@example.com",
    to_tag: str = "",
    from_tag: str = "88sja8x",
    call_id: str = "987asjd97y7atg",
    cseq: int = 986759,
    top_via: str = "SIP/2.0/UDP 192.0.2.7:5060",
    source: str = SOURCE,
) -> str:
    return legacy_key(
        method=method,
        request_uri=request_uri,
        to_tag=to_tag,
        from_tag=from_tag,
        call_id=call_id,
        cseq=cseq,
        top_via=top_via,
        source=source,
    )


class TestBranchThatTellsAll:
    """RFC 3261 §17.2.3, first list."""

    def test_a_branch_with_the_magic_cookie_is_unique(self) -> None:
        assert is_unique(BRANCH)

    @pytest.mark.parametrize("branch", ["", "1", "z9hG4bK", "Z9HG4BKabc", "xz9hG4bKabc"])
    def test_any_other_branch_is_not(self, branch: str) -> None:
        assert not is_unique(branch)

    def test_the_same_request_has_the_same_key(self) -> None:
        assert a_key() == a_key()

    @pytest.mark.parametrize(
        "other",
        [{"method": "OPTIONS"}, {"branch": BRANCH + "x"}, {"branch": BRANCH.upper()}, {"sent_by": "pc33.example.com"}],
        ids=str,
    )
    def test_branch_sent_by_and_method_all_count(self, other: dict[str, str]) -> None:
        assert a_key(**other) != a_key()

    def test_the_case_of_sent_by_does_not_count(self) -> None:
        assert a_key(sent_by="PC33.Example.COM:5060") == a_key()

    def test_an_ack_belongs_to_its_invite(self) -> None:
        assert a_key("ACK") == a_key("INVITE")

    def test_a_cancel_is_a_transaction_of_its_own(self) -> None:
        assert a_key("CANCEL") != a_key("INVITE")

    def test_whoever_guesses_a_branch_from_elsewhere_finds_another_transaction(self) -> None:
        assert a_key(source="198.51.100.9:5060") != a_key()


class TestRequestsOfOldClients:
    """RFC 3261 §17.2.3, second list: clients of RFC 2543."""

    @pytest.mark.parametrize(
        "other",
        [
            {"method": "REGISTER"},
            {"request_uri": "sip:carol@example.com"},
            {"from_tag": ""},
            {"call_id": "other"},
            {"cseq": 986760},
            {"top_via": "SIP/2.0/UDP 192.0.2.7:5060;branch=1"},
            {"source": "198.51.100.9:5060"},
        ],
        ids=str,
    )
    def test_every_value_of_the_list_counts(self, other: dict[str, str]) -> None:
        assert a_legacy_key(**other) != a_legacy_key()  # type: ignore[arg-type]  # one of them is a number

    def test_the_to_tag_counts_for_a_request_that_is_not_acknowledged(self) -> None:
        assert a_legacy_key("BYE", to_tag="a") != a_legacy_key("BYE", to_tag="b")

    def test_an_ack_with_the_tag_that_we_chose_finds_its_invite_without_one(self) -> None:
        assert a_legacy_key("ACK", to_tag="ours") == a_legacy_key("INVITE", to_tag="")

    def test_no_old_client_has_the_key_of_a_new_one(self) -> None:
        assert a_legacy_key() != a_key("INVITE")


class TestKeysThatAPeerWouldForge:
    """What a peer may write anywhere it likes must not make its request another's."""

    def test_a_branch_with_line_ends_is_not_taken_for_other_parts(self) -> None:
        assert server_key("REGISTER", "z9hG4bK1", "h", "s\nx") != server_key("REGISTER", "x\nz9hG4bK1", "h", "s")

    @given(st.lists(st.text(max_size=3), min_size=5, max_size=5), st.lists(st.text(max_size=3), min_size=5, max_size=5))
    @settings(deadline=None)  # a busy machine is no failure
    def test_old_keys_are_equal_only_if_all_their_values_are(self, one: list[str], two: list[str]) -> None:
        keys = [
            a_legacy_key("BYE", request_uri=uri, to_tag=to_tag, from_tag=from_tag, call_id=call_id, top_via=via)
            for uri, to_tag, from_tag, call_id, via in (one, two)
        ]
        assert (keys[0] == keys[1]) == (one == two)

    @given(st.text(max_size=2000), st.text(max_size=20))
    @settings(deadline=None)  # a busy machine is no failure
    def test_no_key_is_longer_than_its_limit_or_takes_more_than_a_byte_per_character(self, branch: str, sent_by: str) -> None:
        for key in (a_key(branch=branch, sent_by=sent_by), a_legacy_key(call_id=branch, top_via=sent_by)):
            assert len(key) <= MAX_KEY
            assert key.isascii()

    @pytest.mark.parametrize("make", [lambda text: a_key(branch=text), lambda text: a_legacy_key(call_id=text)], ids=["new", "old"])
    def test_long_values_still_differ_in_their_last_character(self, make: object) -> None:
        assert callable(make)
        assert make("z9hG4bK" + "a" * 60_000 + "b") != make("z9hG4bK" + "a" * 60_000 + "c")

    def test_bytes_that_were_no_text_make_a_key_too(self) -> None:
        odd = b"z9hG4bK\xff\xfe".decode("utf-8", "surrogateescape")
        assert a_key(branch=odd) == a_key(branch=odd) != a_key()
