"""What many headers share: quotes, lists, parameters, escapes, numbers (RFC 3261 §25.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipreg.errors import BadMessage
from sipreg.message.abnf import is_number, is_token, quoted, qvalue, split_list, split_params, unescaped, unquoted


class TestTokens:
    """§25.1, ``token``."""

    def test_a_token_has_letters_digits_and_ten_signs(self) -> None:
        assert is_token("aZ09-.!%*_+`'~")

    @pytest.mark.parametrize("text", ["", "a b", "a:b", "a/b", "a@b", 'a"', "a\t", "ä", "\u212a", "a\n"])
    def test_nothing_else_is_one(self, text: str) -> None:
        assert not is_token(text)


class TestQuotedStrings:
    """§25.1, ``quoted-string``."""

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("plain", "plain"),
            ("", ""),
            ('""', ""),
            ('"two words"', "two words"),
            (r'"a \"b\" c"', 'a "b" c'),
            (r'"back\\slash"', "back\\slash"),
            (r'"a\b"', "ab"),
            (r'"\\"', "\\"),
            ('"gr\u00fcn, <x>;"', "gr\u00fcn, <x>;"),
        ],
    )
    def test_it_says_what_stands_between_the_quotes(self, text: str, says: str) -> None:
        assert unquoted(text) == says

    @pytest.mark.parametrize("text", ['"', '"a', '"a\\"', '"a"b', '"a" "b"', '"a\\', '"a""'])
    def test_one_that_has_no_end_or_goes_on_behind_it_is_none(self, text: str) -> None:
        with pytest.raises(BadMessage):
            unquoted(text)

    @given(st.text())
    def test_whatever_is_quoted_says_the_same_when_it_is_read(self, text: str) -> None:
        assert unquoted(quoted(text)) == text


class TestLists:
    """§7.3.1: a comma between values is the same as a header field for each."""

    @pytest.mark.parametrize(
        ("value", "entries"),
        [
            ("a", ["a"]),
            ("a,b ,\tc", ["a", "b", "c"]),
            ('"a,b", c', ['"a,b"', "c"]),
            ("<sip:a,b@c>;x, d", ["<sip:a,b@c>;x", "d"]),
            (r'"a\",b" <c>, d', [r'"a\",b" <c>', "d"]),
            ('"<" <a>, b', ['"<" <a>', "b"]),
            ('<a"b>, c', ['<a"b>', "c"]),
        ],
    )
    def test_commas_within_quotes_and_brackets_do_not_count(self, value: str, entries: list[str]) -> None:
        assert split_list(value) == entries

    @pytest.mark.parametrize("value", ["", " ", ",", "a,", ",a", "a,,b", '"a,b', "<a,b", 'a, "', '"a\\', '<a>, "b'])
    def test_an_empty_entry_or_an_open_quote_or_bracket_is_an_error(self, value: str) -> None:
        with pytest.raises(BadMessage):
            split_list(value)

    def test_only_blanks_and_tabs_are_white(self) -> None:
        assert split_list("a\u00a0,\u2003b") == ["a\u00a0", "\u2003b"]

    @given(st.lists(st.text(alphabet='ab;, \\"<>', min_size=1, max_size=8), min_size=1, max_size=5))
    def test_what_is_quoted_never_splits(self, texts: list[str]) -> None:
        assert split_list(", ".join(map(quoted, texts))) == [quoted(text) for text in texts]


class TestParameters:
    """§25.1, ``generic-param``."""

    @pytest.mark.parametrize(
        ("text", "pieces"),
        [
            ("", [""]),
            ("a;b=c", ["a", "b=c"]),
            (';a="x;y";b', ["", 'a="x;y"', "b"]),
            ('a="x";b="y"', ['a="x"', 'b="y"']),
            (r'a="\"";b', [r'a="\""', "b"]),
            (r'a="\\";b="c"', [r'a="\\"', 'b="c"']),
            ('a=";";b=";"', ['a=";"', 'b=";"']),
        ],
    )
    def test_semicolons_within_quotes_do_not_count(self, text: str, pieces: list[str]) -> None:
        assert split_params(text) == pieces

    @pytest.mark.parametrize("text", ['a="', 'a="b;c', 'a="b\\"', 'a="b";c="'])
    def test_an_open_quote_is_an_error(self, text: str) -> None:
        with pytest.raises(BadMessage):
            split_params(text)

    @given(st.lists(st.text(alphabet='ab;,= \\"', max_size=6), min_size=1, max_size=5))
    def test_quoted_values_come_back_whole(self, texts: list[str]) -> None:
        pieces = [f"p={quoted(text)}" for text in texts]
        assert split_params(";".join(pieces)) == pieces


class TestEscapes:
    """§25.1, ``escaped``; rule A-5."""

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("alice", "alice"),
            ("%61lice", "alice"),
            ("%41%6c%69%63%65", "Alice"),
            ("100%25", "100%"),
            ("%C3%A9", "\u00e9"),
            ("%FF", "\udcff"),
        ],
    )
    def test_two_hexadecimal_digits_stand_for_a_byte(self, text: str, says: str) -> None:
        assert unescaped(text) == says

    def test_they_are_decoded_once(self) -> None:
        assert unescaped("%2561") == "%61"

    @pytest.mark.parametrize("text", ["%", "a%", "%4", "%zz", "%4g", "%%41", "%\u0661\u0661"])
    def test_a_percent_sign_without_them_is_an_error(self, text: str) -> None:
        with pytest.raises(BadMessage):
            unescaped(text)


class TestNumbers:
    """§25.1, ``1*DIGIT``: what Python calls a digit beyond ASCII is none."""

    @pytest.mark.parametrize("text", ["0", "007", "9" * 5000])
    def test_digits_are_a_number(self, text: str) -> None:
        assert is_number(text)

    @pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "1 ", "1e3", "0x1", "\u0661", "\u00b2", "1_0"])
    def test_anything_else_is_none(self, text: str) -> None:
        assert not is_number(text)


class TestQValues:
    """§25.1, ``qvalue``; rule S-25."""

    @pytest.mark.parametrize(
        ("text", "thousandths"),
        [
            ("0", 0), ("1", 1000), ("0.5", 500), ("0.25", 250), ("0.125", 125), ("0.", 0), ("1.", 1000), ("1.000", 1000), (".7", 700),
            ("0.0", 0), ("0.001", 1), (" 0.3 ", 300), ("00.5", 500), ("01", 1000),
        ],
    )  # fmt: skip
    def test_it_is_read_in_thousandths(self, text: str, thousandths: int) -> None:
        assert qvalue(text) == thousandths

    def test_digits_beyond_the_third_are_dropped(self) -> None:
        assert qvalue("0.9999" + "9" * 5000) == 999

    @pytest.mark.parametrize("text", ["", ".", " ", "1.5", "1.001", "2", "-0.5", "0,5", "a", "0.5a", "0.a", "1e0", "\u0660.5", "0.\u0665"])
    def test_above_one_or_no_number_is_an_error(self, text: str) -> None:
        with pytest.raises(BadMessage) as refused:
            qvalue(text)
        assert refused.value.reason == "Invalid q param in contact"
