"""Challenges, and what comes back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipreg.errors import Unauthorized
from sipreg.message.auth import AuthParams, parse_digest
from sipreg.registrar.digest import Digest, DigestPolicy, NonceState, digest_matches, digest_params_for, ha1_values
from sipreg.registrar.ports import Credential, NonceUse
from support.builders import NOW_MS, FakeTokens, an_authorization, challenge_params, digest_response, header_values

REALM = "example.com"
KEY = bytes(range(32))
ALICE = Credential(ha1_values("alice", REALM, "secret"))


def a_digest(key: bytes = KEY, **policy: Any) -> Digest:
    return Digest(key, DigestPolicy(**policy), FakeTokens())


def said(challenge: Mapping[str, str], password: str = "secret", count: int = 1, **changed: str | None) -> AuthParams:
    """Return the parameters of alice's answer, as they are parsed from her request."""
    line = an_authorization("alice", password, challenge, count, **changed)
    params = parse_digest(line.removeprefix("Authorization: "))
    assert params is not None
    return params


def challenged(digest: Digest, algorithm: str = "MD5") -> Mapping[str, str]:
    return challenge_params(digest.challenge(REALM, NOW_MS), algorithm)


def claim_of(digest: Digest, params: AuthParams | None, now_ms: int = NOW_MS) -> NonceUse | str:
    """Return the claimed use, or "stale" or "again" for the two ways to be asked again."""
    try:
        return digest.claim(params, REALM, now_ms)
    except Unauthorized as refused:
        return "stale" if challenge_params(refused).get("stale") == "true" else "again"


class TestTheExampleOfTheStandard:
    """RFC 7616 §3.9.1."""

    @pytest.mark.parametrize(
        ("algorithm", "response"),
        [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ],
    )
    def test_mufasa_is_known_by_his_response(self, algorithm: str, response: str) -> None:
        params = {
            "username": "Mufasa",
            "realm": "http-auth@example.org",
            "uri": "/dir/index.html",
            "algorithm": algorithm,
            "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            "nc": "00000001",
            "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            "qop": "auth",
            "response": response,
        }
        mufasa = Credential(ha1_values("Mufasa", "http-auth@example.org", "Circle of Life"))
        assert digest_matches(params, "GET", mufasa)
        assert not digest_matches(params, "PUT", mufasa)
        assert digest_response("Mufasa", "Circle of Life", params, "GET") == response


class TestWhatIsKeptOfAPassword:
    """RFC 7616 §3.4.2."""

    def test_it_is_a_hash_for_each_algorithm(self) -> None:
        text = "jürgen:example.com:päss:wort".encode()
        assert ha1_values("jürgen", "example.com", "päss:wort") == {
            "MD5": hashlib.md5(text, usedforsecurity=False).hexdigest(),
            "SHA-256": hashlib.sha256(text).hexdigest(),
        }


class TestTheChallenge:
    """RFC 3261 §22.2, RFC 8760 §2.4."""

    def test_it_offers_every_algorithm_in_the_operator_s_order(self) -> None:
        for order in (("SHA-256", "MD5"), ("MD5", "SHA-256"), ("MD5",)):
            refused = a_digest(algorithms=order).challenge(REALM, NOW_MS)
            assert refused.status == 401
            assert [name for name, _ in refused.headers] == ["WWW-Authenticate"] * len(order)
            offered = [parse_digest(value) for value in header_values(refused, "WWW-Authenticate")]
            assert [params["algorithm"] for params in offered if params is not None] == list(order)

    def test_each_names_realm_nonce_and_quality_of_protection(self) -> None:
        digest = a_digest()
        params = challenged(digest)
        assert (params["realm"], params["qop"]) == (REALM, "auth")
        assert "stale" not in params
        assert digest.nonce_state(params["nonce"], REALM, NOW_MS) is NonceState.VALID

    def test_it_says_so_where_only_the_nonce_was_too_old(self) -> None:
        assert challenge_params(a_digest().challenge(REALM, NOW_MS, stale=True))["stale"] == "true"

    def test_no_two_challenges_have_one_nonce(self) -> None:
        digest = a_digest()
        assert challenged(digest)["nonce"] != challenged(digest)["nonce"]


class TestNonces:
    """A nonce is dated, and sealed with a key that all edges share."""

    def test_another_edge_with_the_same_key_knows_it_again(self) -> None:
        nonce = a_digest().nonce(REALM, NOW_MS)
        assert a_digest().nonce_state(nonce, REALM, NOW_MS + 1000) is NonceState.VALID

    @pytest.mark.parametrize("key", [b"another key", KEY[:31], KEY + b"x", KEY + b"y", b""])
    def test_one_with_another_key_does_not(self, key: bytes) -> None:
        nonce = a_digest().nonce(REALM, NOW_MS)
        assert a_digest(key).nonce_state(nonce, REALM, NOW_MS) is NonceState.FOREIGN

    def test_of_a_long_key_every_byte_counts(self) -> None:
        nonce = a_digest(KEY + b"x").nonce(REALM, NOW_MS)
        assert a_digest(KEY + b"x").nonce_state(nonce, REALM, NOW_MS) is NonceState.VALID
        assert a_digest(KEY + b"y").nonce_state(nonce, REALM, NOW_MS) is NonceState.FOREIGN

    def test_it_is_good_for_one_realm(self) -> None:
        digest = a_digest()
        assert digest.nonce_state(digest.nonce(REALM, NOW_MS), "example.net", NOW_MS) is NonceState.FOREIGN

    @pytest.mark.parametrize(
        ("age_ms", "state"),
        [
            (0, NonceState.VALID),
            (299_999, NonceState.VALID),
            (300_000, NonceState.STALE),
            (10**12, NonceState.STALE),
            (-5_000, NonceState.VALID),
            (-5_001, NonceState.STALE),
        ],
    )
    def test_it_ages_and_may_be_of_a_clock_that_is_a_little_ahead(self, age_ms: int, state: NonceState) -> None:
        digest = a_digest(nonce_lifetime_s=300)
        assert digest.nonce_state(digest.nonce(REALM, NOW_MS), REALM, NOW_MS + age_ms) is state

    def test_its_date_cannot_be_renewed_by_whoever_has_it(self) -> None:
        digest = a_digest()
        old, new = digest.nonce(REALM, NOW_MS), digest.nonce(REALM, NOW_MS + 300_000)
        assert digest.nonce_state(new[:12] + old[12:], REALM, NOW_MS + 300_000) is NonceState.FOREIGN

    @given(st.text(max_size=60))
    def test_no_text_passes_for_one(self, text: str) -> None:
        assert a_digest().nonce_state(text, REALM, NOW_MS) is NonceState.FOREIGN

    @given(st.integers(0, 51), st.sampled_from("0123456789abcdefABCDEFé"))
    def test_with_one_character_changed_it_is_none_of_ours(self, place: int, character: str) -> None:
        digest = a_digest()
        nonce = digest.nonce(REALM, NOW_MS)
        changed = nonce[:place] + character + nonce[place + 1 :]
        expected = NonceState.VALID if changed == nonce else NonceState.FOREIGN
        assert digest.nonce_state(changed, REALM, NOW_MS) is expected


class TestWhatCredentialsClaim:
    """RFC 7616 §3.4."""

    def test_good_ones_claim_one_use_of_the_nonce(self) -> None:
        digest = a_digest(nonce_lifetime_s=300)
        challenge = challenged(digest)
        use = digest.claim(said(challenge, count=0x1F), REALM, NOW_MS)
        assert (use.nonce, use.count) == (challenge["nonce"], 31)
        assert use.lapses_at_ms == NOW_MS + 305_000

    def test_a_count_is_remembered_for_as_long_as_any_edge_may_accept_the_nonce(self) -> None:
        digest = a_digest(nonce_lifetime_s=300)
        use = digest.claim(said(challenged(digest)), REALM, NOW_MS)
        # An edge whose clock is as far behind as we allow still sees a good nonce one millisecond before.
        assert digest.nonce_state(use.nonce, REALM, use.lapses_at_ms - 5_001) is NonceState.VALID
        assert digest.nonce_state(use.nonce, REALM, use.lapses_at_ms - 5_000) is NonceState.STALE

    def test_without_any_there_is_a_challenge(self) -> None:
        assert claim_of(a_digest(), None) == "again"

    def test_a_nonce_that_is_too_old_is_told_from_one_that_is_not_ours(self) -> None:
        digest = a_digest()
        params = said(challenged(digest))
        assert claim_of(digest, params, NOW_MS + 300_000) == "stale"
        assert claim_of(a_digest(b"another key"), params) == "again"
        assert claim_of(digest, {name: value for name, value in params.items() if name != "nonce"}) == "again"

    @pytest.mark.parametrize("realm", ["example.net", "", "Example.com"])
    def test_those_for_another_realm_are_none(self, realm: str) -> None:
        digest = a_digest()
        assert claim_of(digest, said(challenged(digest), realm=realm)) == "again"

    def test_those_without_a_realm_are_none(self) -> None:
        digest = a_digest()
        assert claim_of(digest, said(challenged(digest), realm=None, response="x")) == "again"

    @pytest.mark.parametrize("algorithm", ["SHA-512", "MD5-sess", ""])
    def test_an_algorithm_that_was_not_offered_is_refused(self, algorithm: str) -> None:
        digest = a_digest()
        assert claim_of(digest, said(challenged(digest), algorithm=algorithm, response="x")) == "again"

    def test_where_md5_was_not_offered_its_absence_does_not_stand_for_it(self) -> None:
        digest = a_digest(algorithms=("SHA-256",))
        challenge = challenged(digest, "SHA-256")
        assert isinstance(claim_of(digest, said(challenge)), NonceUse)
        for algorithm in (None, "MD5"):
            with pytest.raises(Unauthorized):
                digest.claim(said(challenge, algorithm=algorithm, response="x"), REALM, NOW_MS)

    def test_without_an_algorithm_it_is_md5_and_its_name_has_no_letter_case(self) -> None:
        digest = a_digest()
        assert isinstance(claim_of(digest, said(challenged(digest), algorithm=None)), NonceUse)
        assert isinstance(claim_of(digest, said(challenged(digest), algorithm="md5", response="x")), NonceUse)

    @pytest.mark.parametrize(
        "nc", [None, "1", "000000001", "0000000g", "00000000", "-0000001", "0x000001", "00_00_01", "\uff10" * 7 + "\uff11"]
    )
    def test_a_count_that_is_missing_odd_or_zero_is_refused(self, nc: str | None) -> None:
        digest = a_digest()
        assert claim_of(digest, said(challenged(digest), nc=nc, response="x")) == "again"

    @pytest.mark.parametrize("qop", ["auth-int", "auth,auth-int", "none"])
    def test_a_protection_that_was_not_offered_is_refused(self, qop: str) -> None:
        digest = a_digest()
        assert claim_of(digest, said(challenged(digest), qop=f'"{qop}"', response="x")) == "again"

    def test_a_protection_without_a_client_nonce_is_refused(self) -> None:
        digest = a_digest()
        assert claim_of(digest, said(challenged(digest), cnonce=None, response="x")) == "again"

    def test_a_client_of_the_old_standard_has_no_count_and_uses_a_nonce_once(self) -> None:
        digest = a_digest()
        old = said(challenged(digest), qop=None, nc=None, cnonce=None)
        first, second = claim_of(digest, old), claim_of(digest, old)
        assert first == second
        assert isinstance(first, NonceUse)
        assert first.count == 1


class TestTheResponse:
    """RFC 7616 §3.4.1."""

    @pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
    def test_it_proves_the_password(self, algorithm: str) -> None:
        challenge = challenged(a_digest(), algorithm)
        assert digest_matches(said(challenge), "REGISTER", ALICE)
        assert not digest_matches(said(challenge, "Secret"), "REGISTER", ALICE)

    @pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
    def test_a_client_of_the_old_standard_proves_it_too(self, algorithm: str) -> None:
        params = said(challenged(a_digest(), algorithm), qop=None, nc=None, cnonce=None)
        assert digest_matches(params, "REGISTER", ALICE)
        assert not digest_matches({**params, "nonce": "another"}, "REGISTER", ALICE)

    @pytest.mark.parametrize("name", ["nonce", "nc", "cnonce", "uri", "response"])
    def test_it_holds_for_everything_that_it_was_made_of(self, name: str) -> None:
        params = said(challenged(a_digest()))
        assert digest_matches(params, "REGISTER", ALICE)
        assert not digest_matches({**params, name: params[name][:-1] + "~"}, "REGISTER", ALICE)

    def test_it_holds_for_the_method(self) -> None:
        assert not digest_matches(said(challenged(a_digest())), "INVITE", ALICE)

    @pytest.mark.parametrize("response", ["", "é", "0" * 32, "\udcff"])
    def test_nonsense_proves_nothing(self, response: str) -> None:
        params = {**said(challenged(a_digest())), "response": response}
        assert not digest_matches(params, "REGISTER", ALICE)

    def test_without_a_response_nothing_is_proved(self) -> None:
        params = said(challenged(a_digest()))
        del params["response"]
        assert not digest_matches(params, "REGISTER", ALICE)

    def test_capital_letters_prove_as_much(self) -> None:
        params = said(challenged(a_digest()))
        assert digest_matches({**params, "response": params["response"].upper()}, "REGISTER", ALICE)

    def test_a_subscriber_without_a_hash_for_the_algorithm_proves_nothing(self) -> None:
        challenge = challenged(a_digest(), "SHA-256")
        assert not digest_matches(said(challenge), "REGISTER", Credential({"MD5": ALICE.ha1["MD5"]}))


class TestSeveralCredentials:
    """RFC 3261 §22.3."""

    def test_those_for_our_realm_are_taken(self) -> None:
        ours = {"realm": REALM, "username": "alice"}
        assert digest_params_for(REALM, [None, {"realm": "proxy"}, ours, {"realm": REALM}]) is ours

    def test_where_none_is_for_us_there_are_none(self) -> None:
        assert digest_params_for(REALM, [None, {"realm": "proxy"}, {}]) is None
        assert digest_params_for(REALM, []) is None
