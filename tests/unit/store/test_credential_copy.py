from __future__ import annotations

import gc

from sipreg.registrar.ports import NOT_KNOWN, Credential
from sipreg.store.credential_copy import CredentialCopy, CredentialLimits
from sipreg.store.subscribers import Subscriber, packed

ALICE = Subscriber("example.com", "alice")
BOB = Subscriber("example.com", "bob")
CAROL = Subscriber("example.com", "carol")
DATA = packed({b"MD5": b"aa", b"SHA-256": b"bb", b"aors": b"sales@example.com"})


class TestAge:
    def test_an_answer_is_used_until_it_is_old(self) -> None:
        copy = CredentialCopy(CredentialLimits(max_age_s=60))
        copy.keep(ALICE, DATA, 100.0)
        assert copy.find(ALICE, 159.9) == Credential({"MD5": "aa", "SHA-256": "bb"}, ("sales@example.com",))
        assert copy.find(ALICE, 160.0) is NOT_KNOWN
        assert len(copy) == 0

    def test_use_does_not_make_it_younger(self) -> None:
        copy = CredentialCopy(CredentialLimits(max_age_s=60))
        copy.keep(ALICE, DATA, 100.0)
        assert copy.find(ALICE, 150.0) is not NOT_KNOWN
        assert copy.find(ALICE, 170.0) is NOT_KNOWN

    def test_that_there_is_nobody_is_forgotten_sooner(self) -> None:
        copy = CredentialCopy(CredentialLimits(max_age_s=60, negative_age_s=5))
        copy.keep(BOB, None, 100.0)
        assert copy.find(BOB, 104.9) is None
        assert copy.find(BOB, 105.0) is NOT_KNOWN

    def test_with_an_age_of_nothing_nothing_is_kept(self) -> None:
        copy = CredentialCopy(CredentialLimits(max_age_s=0))
        copy.keep(ALICE, DATA, 100.0)
        copy.keep(BOB, None, 100.0)
        assert len(copy) == 0


class TestSize:
    def test_the_least_recently_used_goes_first(self) -> None:
        copy = CredentialCopy(CredentialLimits(max_entries=2))
        copy.keep(ALICE, DATA, 0.0)
        copy.keep(BOB, DATA, 0.0)
        assert copy.find(ALICE, 1.0) is not NOT_KNOWN
        copy.keep(CAROL, DATA, 1.0)
        assert copy.find(BOB, 1.0) is NOT_KNOWN
        assert copy.find(ALICE, 1.0) is not NOT_KNOWN
        assert len(copy) == 2

    def test_a_flood_of_made_up_names_stays_within_the_limit(self) -> None:
        copy = CredentialCopy(CredentialLimits(max_entries=10))
        for number in range(1000):
            copy.keep(Subscriber("example.com", str(number)), None, 0.0)
        assert len(copy) == 10

    def test_the_garbage_collector_has_nothing_to_walk(self) -> None:
        copy = CredentialCopy(CredentialLimits())
        for number in range(1000):
            copy.keep(Subscriber("example.com", f"user{number}"), b"%d" % number, 0.0)
        gc.collect()
        entries = copy._entries
        assert not any(gc.is_tracked(part) for item in entries.items() for part in item)


class TestForgetting:
    def test_one_is_forgotten_and_the_others_are_not(self) -> None:
        copy = CredentialCopy(CredentialLimits())
        copy.keep(ALICE, DATA, 0.0)
        copy.keep(BOB, DATA, 0.0)
        copy.drop(ALICE)
        copy.drop(CAROL)
        assert copy.find(ALICE, 1.0) is NOT_KNOWN
        assert copy.find(BOB, 1.0) is not NOT_KNOWN

    def test_all_are_forgotten(self) -> None:
        copy = CredentialCopy(CredentialLimits())
        copy.keep(ALICE, DATA, 0.0)
        copy.clear()
        assert copy.find(ALICE, 1.0) is NOT_KNOWN
