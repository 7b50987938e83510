from __future__ import annotations

import pytest

from sipreg.errors import BadMessage
from sipreg.message.feature_caps import parse_feature_caps


class TestFeatureCaps:
    """RFC 6809 §6."""

    def test_an_entry_names_indicators_with_their_values_as_they_stand(self) -> None:
        assert parse_feature_caps(['*;+sip.pns="apns";+sip.pnsreg="121"']) == [{"+sip.pns": '"apns"', "+sip.pnsreg": '"121"'}]

    def test_entries_of_one_field_and_of_several_stay_apart_and_in_order(self) -> None:
        values = ['*;+sip.pns="apns", *;+sip.pns="fcm"', "* ; +sip.pnspurr"]
        assert parse_feature_caps(values) == [{"+sip.pns": '"apns"'}, {"+sip.pns": '"fcm"'}, {"+sip.pnspurr": ""}]

    def test_a_semicolon_or_comma_within_quotes_separates_nothing(self) -> None:
        assert parse_feature_caps(['*;+x="a;b,c"']) == [{"+x": '"a;b,c"'}]

    def test_the_star_may_be_missing(self) -> None:
        assert parse_feature_caps(['+sip.pns="fcm"']) == [{"+sip.pns": '"fcm"'}]

    def test_an_entry_that_says_nothing_is_one_all_the_same(self) -> None:
        assert parse_feature_caps(["*"]) == [{}]

    def test_no_header_is_no_entry(self) -> None:
        assert parse_feature_caps([]) == []

    @pytest.mark.parametrize("value", ["apns", "*;sip.pns", '*;+x="a', "*,", ""])
    def test_what_is_no_indicator_is_an_error(self, value: str) -> None:
        with pytest.raises(BadMessage):
            parse_feature_caps([value])
