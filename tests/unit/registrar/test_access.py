"""Who may register what, and where."""

from __future__ import annotations

import pytest

from sipreg.errors import BadMessage, Forbidden, UnknownAor
from sipreg.message.uri import parse_uri
from sipreg.registrar.access import Domains, may_register
from sipreg.registrar.aor import parse_aor
from sipreg.registrar.parameters import Parameters
from sipreg.registrar.ports import Credential

OURS = Domains(names=frozenset({"example.com", "example.net", "[2001:db8::1]"}))
NOTHING_MORE = Credential({})
USUAL = Parameters()


class TestTheRequestUri:
    """RFC 3261 §10.3 step 1."""

    @pytest.mark.parametrize("uri", ["sip:example.com", "sips:EXAMPLE.com:5061;lr", "sip:[2001:DB8::0:1]", "sip:alice@example.net"])
    def test_a_register_for_one_of_our_domains_is_ours(self, uri: str) -> None:
        assert OURS.check_request_uri(parse_uri(uri)) in OURS.names

    @pytest.mark.parametrize("uri", ["sip:example.org", "sip:sub.example.com", "sip:192.0.2.1"])
    def test_one_for_another_domain_is_forbidden(self, uri: str) -> None:
        with pytest.raises(Forbidden) as refused:
            OURS.check_request_uri(parse_uri(uri))
        assert refused.value.status == 403

    @pytest.mark.parametrize("uri", ["tel:+4930123456", "mailto:alice@example.com"])
    def test_one_for_no_sip_uri_at_all_is_a_bad_request(self, uri: str) -> None:
        with pytest.raises(BadMessage):
            OURS.check_request_uri(parse_uri(uri))


class TestTheAddress:
    """RFC 3261 §10.3 step 5."""

    def test_each_domain_is_its_own_realm(self) -> None:
        assert OURS.check_aor(parse_uri("sip:alice@EXAMPLE.net")) == "example.net"

    def test_there_can_be_one_realm_for_all(self) -> None:
        shared = Domains(names=OURS.names, realm="telephones")
        assert shared.check_aor(parse_uri("sip:alice@example.net")) == "telephones"

    @pytest.mark.parametrize("uri", ["sip:alice@example.org", "tel:+4930123456", "mailto:alice@example.com"])
    def test_an_address_that_is_none_of_ours_is_not_found(self, uri: str) -> None:
        with pytest.raises(UnknownAor) as refused:
            OURS.check_aor(parse_uri(uri))
        assert refused.value.status == 404


def may(user: str, uri: str, *, credential: Credential = NOTHING_MORE, realm: str = "example.com", parameters: Parameters = USUAL) -> bool:
    return may_register(user, realm, credential, parse_aor(uri, parameters, "location"), parameters)


class TestWhoMayRegister:
    """RFC 3261 §10.3 step 4."""

    def test_a_subscriber_may_register_its_own_address(self) -> None:
        assert may("alice", "sip:alice@example.com")
        assert may("alice", "sip:al%69ce@Example.COM")

    def test_it_may_be_known_by_its_whole_address(self) -> None:
        assert may("alice@example.com", "sip:alice@example.com", realm="telephones")

    @pytest.mark.parametrize("uri", ["sip:bob@example.com", "sip:alice@example.net", "sip:Alice@example.com", "sip:example.com"])
    def test_it_may_not_register_another(self, uri: str) -> None:
        assert not may("alice", uri)

    def test_it_may_register_what_it_was_given(self) -> None:
        given = Credential({}, ("sales@example.com",))
        assert may("alice", "sip:sales@example.com", credential=given)
        assert not may("alice", "sip:sales@example.net", credential=given)

    def test_without_domains_the_user_is_enough(self) -> None:
        assert may("alice", "sip:alice@example.net", parameters=Parameters(use_domain=False))

    def test_a_user_that_ends_in_our_domain_is_not_the_one_before_it(self) -> None:
        assert not may("alice", "sip:alice%40example.com@example.com")


class TestNamesAreFoldedAsAddressesAre:
    """Rules A-6 and A-7: a subscriber owns the address that its name becomes."""

    def test_where_users_know_no_case_their_names_do_not_either(self) -> None:
        folding = Parameters(case_sensitive=False)
        assert may("Alice", "sip:Alice@example.com", parameters=folding)
        assert may("Alice@example.com", "sip:alice@example.com", parameters=folding)
        assert may("bob", "sip:SALES@example.com", credential=Credential({}, ("Sales@example.com",)), parameters=folding)
        assert not may("Alice", "sip:bob@example.com", parameters=folding)

    def test_where_a_prefix_is_taken_off_addresses_it_is_taken_off_realms(self) -> None:
        stripping = Parameters(realm_prefix="sip.")
        assert may("alice", "sip:alice@sip.example.com", realm="sip.example.com", parameters=stripping)
        assert not may("alice", "sip:bob@sip.example.com", realm="sip.example.com", parameters=stripping)
        assert not may("alice", "sip:alice@sip.example.net", realm="sip.example.com", parameters=stripping)
