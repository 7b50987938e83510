"""The tree of what can go wrong: what each refusal answers with (the statuses of RFC 3261 §21)."""

from __future__ import annotations

import pytest

from sipreg.errors import (
    BadExtension,
    BadMessage,
    Forbidden,
    IntervalTooBrief,
    MethodNotAllowed,
    OutOfOrder,
    RequestRefused,
    SettingWrong,
    SipregError,
    StoreUnavailable,
    TooManyContacts,
    TooManyHops,
    Unauthorized,
    UnknownAor,
)


class TestRefusals:
    """A refusal knows its status, its words and its headers."""

    @pytest.mark.parametrize(
        ("kind", "status"),
        [
            (RequestRefused, 400),
            (BadMessage, 400),
            (Unauthorized, 401),
            (Forbidden, 403),
            (UnknownAor, 404),
            (MethodNotAllowed, 405),
            (OutOfOrder, 400),
            (TooManyHops, 483),
            (TooManyContacts, 503),
        ],
    )
    def test_each_has_its_status_and_says_why(self, kind: type[RequestRefused], status: int) -> None:
        refusal = kind("Because", (("Retry-After", "5"),))
        assert isinstance(refusal, RequestRefused)
        assert (refusal.status, refusal.reason, refusal.headers, str(refusal)) == (status, "Because", (("Retry-After", "5"),), "Because")
        assert kind("Because").headers == ()

    def test_an_interval_that_is_too_brief_is_told_the_least(self) -> None:
        refusal = IntervalTooBrief(60)
        assert (refusal.status, refusal.min_expires, refusal.headers) == (423, 60, (("Min-Expires", "60"),))

    def test_an_unknown_extension_is_named(self) -> None:
        refusal = BadExtension(("foo", "bar"))
        assert (refusal.status, refusal.headers) == (420, (("Unsupported", "foo, bar"),))
        assert refusal.reason == "Extension not supported: foo, bar"

    def test_a_long_list_of_them_does_not_fill_the_reason_phrase(self) -> None:
        refusal = BadExtension(tuple(f"ext{number}" for number in range(999)))
        assert len(refusal.reason) == 100
        assert refusal.headers[0][1].endswith("ext998")


class TestTheTree:
    """What is the peer's doing, and what is not."""

    def test_a_store_that_cannot_be_asked_is_no_refusal(self) -> None:
        assert StoreUnavailable.status == 503
        assert not issubclass(StoreUnavailable, RequestRefused)

    def test_all_of_them_can_be_caught_as_one(self) -> None:
        for kind in (RequestRefused, StoreUnavailable, SettingWrong):
            assert issubclass(kind, SipregError)
