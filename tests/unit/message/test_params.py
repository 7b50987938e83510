"""Parameters behind a header value (RFC 3261 §25.1, generic-param)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipreg.errors import BadMessage
from sipreg.message.params import Params, param_text, parse_params


class TestParsing:
    """§7.3.1: names without case, in any order, each once."""

    def test_nothing_has_no_parameters(self) -> None:
        assert parse_params("") == {}

    @pytest.mark.parametrize("text", [";tag=a;lr;x=1", "tag=a;lr;x=1", " ; tag = a ;\tlr ; x= 1 ", ";tag=a;;lr;x=1;"])
    def test_semicolons_and_blanks_may_stand_around_them(self, text: str) -> None:
        assert parse_params(text) == {"tag": "a", "lr": "", "x": "1"}

    def test_names_have_no_case_and_values_keep_theirs(self) -> None:
        assert parse_params(";TAG=AbC;+SIP.Instance=X;Reg-ID=7") == {"tag": "AbC", "+sip.instance": "X", "reg-id": "7"}

    @pytest.mark.parametrize("text", [";q=0.5;q=0.7", ";q=0.5;Q=0.7", ";Q=0.5;q=0.7", ";foo=0.5;FOO=0.7"])
    def test_of_several_of_one_name_the_first_counts(self, text: str) -> None:
        assert list(parse_params(text).values()) == ["0.5"]

    def test_a_value_keeps_its_quotes_and_what_is_in_them(self) -> None:
        assert parse_params(';a="x;y=\\"z\\"";b') == {"a": '"x;y=\\"z\\""', "b": ""}

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            (';a="x;tag=no"', '"x;tag=no"'),
            (';a="\\";tag=no;b="', '"\\";tag=no;b="'),
            (';a="\\\\"', '"\\\\"'),
            (';a=b"c;tag=no"', 'b"c;tag=no"'),
        ],
    )
    def test_what_is_quoted_holds_no_parameters(self, text: str, value: str) -> None:
        assert parse_params(f"{text};tag=yes") == {"a": value, "tag": "yes"}
        assert parse_params(f";tag=yes{text}") == {"a": value, "tag": "yes"}

    @given(st.lists(st.sampled_from(["a", "tag", "=", ";", '"', "\\", " "])).map("".join))
    def test_the_short_way_finds_what_the_long_way_finds(self, text: str) -> None:
        def outcome(given_text: str) -> Params | None:
            try:
                return parse_params(given_text)
            except BadMessage:
                return None

        # A value that must be taken apart with care sends all the others the long way, too.
        long_way = outcome(f'long="\\"";{text}')
        assert outcome(text) == (None if long_way is None else {name: value for name, value in long_way.items() if name != "long"})

    def test_an_equals_sign_within_a_value_belongs_to_it(self) -> None:
        assert parse_params(";branch=a=b==") == {"branch": "a=b=="}

    @pytest.mark.parametrize("text", [";=1", ";tag=a; =b", ';a="b', ';a="b;c=d', ';a="', ';a="\\"', ';a="\\";tag=x', ';a="b"c"'])
    def test_one_without_a_name_or_with_an_open_quote_is_an_error(self, text: str) -> None:
        with pytest.raises(BadMessage):
            parse_params(text)


class TestText:
    """What a parameter says is not how it is written."""

    def test_quotes_and_escapes_are_taken_off(self) -> None:
        assert param_text({"a": r'"x \"y\""'}, "a") == 'x "y"'

    def test_a_flag_says_nothing_and_an_absent_one_is_none(self) -> None:
        assert param_text({"lr": ""}, "lr") == ""
        assert param_text({"lr": ""}, "ob") is None

    def test_a_value_that_goes_on_behind_its_quotes_is_an_error(self) -> None:
        with pytest.raises(BadMessage):
            param_text(parse_params(';a="b"c'), "a")
