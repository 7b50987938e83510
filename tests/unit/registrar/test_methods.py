"""Which methods a contact takes."""

from __future__ import annotations

import pytest

from sipreg.errors import BadMessage
from sipreg.registrar.methods import METHOD_BITS, OTHER_METHOD, allowed_methods, method_bits
from sipreg.registrar.model import ALL_METHODS


class TestMethodBits:
    """Rule S-28."""

    def test_every_method_has_the_bit_of_the_specification(self) -> None:
        names = [
            "INVITE",
            "CANCEL",
            "ACK",
            "BYE",
            "INFO",
            "OPTIONS",
            "UPDATE",
            "REGISTER",
            "MESSAGE",
            "SUBSCRIBE",
            "NOTIFY",
            "PRACK",
            "REFER",
            "PUBLISH",
        ]
        assert [METHOD_BITS[name] for name in names] == [1 << power for power in range(14)]

    def test_bits_add_up_and_the_same_method_counts_once(self) -> None:
        assert method_bits(["INVITE", "BYE", "INVITE"]) == 1 + 8

    def test_letter_case_plays_no_part(self) -> None:
        assert method_bits(["invite", "Bye"]) == 1 + 8

    def test_all_that_we_do_not_know_is_one_bit(self) -> None:
        assert method_bits(["CHAT"]) == method_bits(["CHAT", "FAX"]) == OTHER_METHOD == 16384

    def test_without_methods_there_are_no_bits(self) -> None:
        assert method_bits([]) == 0

    @pytest.mark.parametrize("method", ["", "IN VITE", "INVITE;q=1", '"INVITE"'])
    def test_what_is_no_token_is_refused(self, method: str) -> None:
        with pytest.raises(BadMessage) as refused:
            method_bits(["BYE", method])
        assert (refused.value.status, refused.value.reason) == (400, "Message parse error")


class TestAllow:
    """Rule S-28: the header speaks where the contact does not, and is never a reason to refuse."""

    def test_the_header_lists_methods_with_and_without_blanks(self) -> None:
        assert allowed_methods("INVITE,ACK , BYE") == 1 + 4 + 8

    @pytest.mark.parametrize("allow", ["", "INVITE,,BYE", "INVITE BYE", ",", "INVITE,"])
    def test_one_that_does_not_parse_allows_everything(self, allow: str) -> None:
        assert allowed_methods(allow) == ALL_METHODS
