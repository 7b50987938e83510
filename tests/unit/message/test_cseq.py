"""CSeq (RFC 3261 §8.1.1.5, §20.16)."""

from __future__ import annotations

import pytest

from sipreg.errors import BadMessage
from sipreg.message.cseq import CSeq, parse_cseq


class TestParsing:
    """§25.1: ``1*DIGIT LWS Method``."""

    @pytest.mark.parametrize(
        ("text", "number", "method"),
        [
            ("1 REGISTER", 1, "REGISTER"),
            ("0 OPTIONS", 0, "OPTIONS"),
            ("0009\t REGISTER", 9, "REGISTER"),
            ("12   NEWMETHOD", 12, "NEWMETHOD"),
            ("1 register", 1, "register"),
            ("999999999 REGISTER", 999_999_999, "REGISTER"),
            ("2147483647 REGISTER", 2**31 - 1, "REGISTER"),
            ("00000000000000002147483647 REGISTER", 2**31 - 1, "REGISTER"),
            ("0" * 5000 + "1 REGISTER", 1, "REGISTER"),
        ],
    )
    def test_number_and_method_are_told_apart(self, text: str, number: int, method: str) -> None:
        assert parse_cseq(text) == CSeq(number, method)

    @pytest.mark.parametrize("digits", ["2147483648", "4294967295", "9999999999", "36893488147419103232", "9" * 5000])
    def test_a_number_of_two_to_the_31_or_more_is_out_of_range(self, digits: str) -> None:
        with pytest.raises(BadMessage) as refused:
            parse_cseq(f"{digits} REGISTER")
        assert refused.value.reason == "CSeq number out of range"

    @pytest.mark.parametrize(
        "text",
        [
            "", "1", "REGISTER", "1 ", " 1 REGISTER", "REGISTER 1", "-1 REGISTER", "+1 REGISTER", "1.0 REGISTER", "0x1 REGISTER",
            "1REGISTER",
            "1 REGISTER x", "1 RE:GISTER", "1 R\u00c9GISTER", "\u0661 REGISTER", "\u00b2 REGISTER", "1\u00a0REGISTER", "1\u2003REGISTER",
            "1\x0bREGISTER",
        ],
    )  # fmt: skip
    def test_anything_else_is_an_error(self, text: str) -> None:
        with pytest.raises(BadMessage) as refused:
            parse_cseq(text)
        assert refused.value.reason == "CSeq does not parse"
