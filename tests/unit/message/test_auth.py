"""Digest credentials and challenges (RFC 3261 §20.7, RFC 7616)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipreg.errors import BadMessage
from sipreg.message.abnf import quoted
from sipreg.message.auth import digest_challenge, parse_digest
from support.messages import a_digest

USUAL = {
    "username": "alice",
    "realm": "example.com",
    "nonce": "84a4cc6f3082121f32b42a2187831a9e",
    "uri": "sip:example.com",
    "response": "7587245234b3434cc3412213e5f113a5",
    "algorithm": "MD5",
    "cnonce": "0a4f113b",
    "qop": "auth",
    "nc": "00000001",
}


class TestCredentials:
    """RFC 7616 §3.4."""

    def test_every_parameter_is_read_without_its_quotes(self) -> None:
        assert parse_digest(a_digest()) == USUAL

    @pytest.mark.parametrize("scheme", ["Digest", "digest", "DIGEST", "DiGeSt"])
    def test_the_scheme_has_no_case(self, scheme: str) -> None:
        assert parse_digest(f'{scheme} username="alice"') == {"username": "alice"}

    @pytest.mark.parametrize("value", ["Basic YWxpY2U6eA==", "Bearer abc", "Digested a=b", "", 'username="alice"'])
    def test_another_scheme_is_none_of_ours(self, value: str) -> None:
        assert parse_digest(value) is None

    @pytest.mark.parametrize("comma", [",", ", ", " ,", " , ", ",\t", "\t,  "])
    def test_blanks_around_commas_do_not_count(self, comma: str) -> None:
        assert parse_digest(a_digest().replace(", ", comma)) == USUAL

    @pytest.mark.parametrize("equals", [" =", "= ", " = ", "\t=\t"])
    def test_blanks_around_equals_signs_do_not_count(self, equals: str) -> None:
        assert parse_digest(a_digest().replace("=", equals)) == USUAL

    @pytest.mark.parametrize("text", ["qop=auth ,nc=1", "qop= auth,nc=1", "qop=\tauth, nc=1", "qop=auth,nc= 1", "qop=auth\t, nc=1"])
    def test_nor_do_they_around_what_has_no_quotes(self, text: str) -> None:
        assert parse_digest(f"Digest {text}") == {"qop": "auth", "nc": "1"}

    def test_names_have_no_case(self) -> None:
        assert parse_digest('Digest USERNAME="alice", Realm="r"') == {"username": "alice", "realm": "r"}

    def test_unknown_parameters_are_kept(self) -> None:
        assert parse_digest(a_digest(newparam='"x, y"', auts="1")) == {**USUAL, "newparam": "x, y", "auts": "1"}

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ('"a,b"', "a,b"),
            ('",realm="', ",realm="),
            ('"a, nonce=b"', "a, nonce=b"),
            ('"="', "="),
            ('""', ""),
            (r'"a\"b"', 'a"b'),
            (r'"a\",b"', 'a",b'),
            (r'"dom\\user"', "dom\\user"),
            ('" alice "', " alice "),
            ('"<alice>"', "<alice>"),
            ('"Jos\u00e9"', "Jos\u00e9"),
            ("alice", "alice"),
        ],
    )
    def test_within_quotes_nothing_separates(self, text: str, says: str) -> None:
        assert parse_digest(a_digest(username=text)) == {**USUAL, "username": says}

    @pytest.mark.parametrize("text", ['"alice", username="bob"', '"alice", Username="bob"', 'alice, username=""'])
    def test_one_that_comes_twice_is_an_error(self, text: str) -> None:
        with pytest.raises(BadMessage):
            parse_digest(a_digest(username=text))

    @pytest.mark.parametrize("text", ['"alice', 'alice"', '"', '"alice"bob"', '"alice" bob', '"ali\\"'])
    def test_quotes_that_do_not_pair_are_an_error(self, text: str) -> None:
        with pytest.raises(BadMessage):
            parse_digest(f"Digest username={text}, nc=1")

    @pytest.mark.parametrize(
        "text",
        [
            'username="a"nc=1',
            'username="a"realm="b"',
            'username="a" nc=1',
            'username="a"nc=1, realm="b"',
            'nc=1 realm="b"',
            'nc=1realm="b"',
        ],
    )
    def test_without_a_comma_they_are_not_two(self, text: str) -> None:
        with pytest.raises(BadMessage):
            parse_digest(f"Digest {text}")

    @pytest.mark.parametrize("rest", ["", " ", " username", ' "alice"', ' ="alice"', ' username="alice",', ' username="alice",,nc=1', " ,"])
    def test_what_is_no_list_of_parameters_is_an_error(self, rest: str) -> None:
        with pytest.raises(BadMessage):
            parse_digest(f"Digest{rest}" if rest else "Digest")

    @given(st.dictionaries(st.sampled_from([*USUAL, "opaque", "userhash", "x"]), st.text(alphabet='ab=, \\"<;', max_size=6), min_size=1))
    def test_whatever_is_quoted_is_read_as_it_was_meant(self, params: dict[str, str]) -> None:
        assert parse_digest("Digest " + ", ".join(f"{name}={quoted(text)}" for name, text in params.items())) == params


class TestChallenges:
    """RFC 7616 §3.3."""

    def test_it_names_realm_nonce_algorithm_and_qop(self) -> None:
        text = digest_challenge("example.com", "abc", "SHA-256", stale=False)
        assert text == 'Digest realm="example.com", nonce="abc", algorithm=SHA-256, qop="auth"'

    def test_it_says_when_only_the_nonce_is_too_old(self) -> None:
        params = parse_digest(digest_challenge("example.com", "abc", "MD5", stale=True))
        assert params == {"realm": "example.com", "nonce": "abc", "algorithm": "MD5", "qop": "auth", "stale": "true"}

    @given(st.text(alphabet='ab", \\='))
    def test_no_realm_breaks_out_of_its_quotes(self, realm: str) -> None:
        params = parse_digest(digest_challenge(realm, "abc", "MD5", stale=False))
        assert params == {"realm": realm, "nonce": "abc", "algorithm": "MD5", "qop": "auth"}
