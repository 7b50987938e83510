"""The parameters of the specification that decide what a REGISTER does, under its names (rules CFG)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class TooBrief(Enum):
    """What becomes of an interval below `Parameters.min_expires`."""

    RAISE = "raise"
    """It is raised to the minimum, as the specification says (rule S-23)."""
    REFUSE = "refuse"
    """It is refused with 423 and Min-Expires, as RFC 3261 §10.3 step 7 says."""


@dataclass(frozen=True, slots=True)
class Matching:
    """How a contact finds the binding that it refreshes or removes (rules S-50 to S-53)."""

    call_id: bool = False
    """Also compare the Call-ID (mode 1)."""

    param: str = ""
    """Compare this URI parameter instead of the whole URI (mode ``<name>``); in lower case, "" for none."""


BY_CONTACT = Matching()
"""The usual way: URIs are compared (mode 0)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """One set of parameters; intervals in seconds, lengths in characters, 0 means "no limit" where nothing else is said."""

    default_expires: int = 3600
    """Granted where neither contact nor message asks for an interval."""
    min_expires: int = 60
    """The least that is granted."""
    max_expires: int = 0
    """The most that is granted."""
    too_brief: TooBrief = TooBrief.RAISE
    default_q: int = -1
    """q in thousandths of a contact that names none; -1 leaves it unset."""
    realm_prefix: str = ""
    """Taken off the front of an AoR's host (rule A-6)."""
    case_sensitive: bool = True
    """Whether the user part of AoRs knows upper and lower case (rule A-7)."""
    use_domain: bool = True
    """Whether the host is part of the AoR."""
    received_param: str = "received"
    """Parameter of the 200's contacts that holds the received URI (rule R-7)."""
    max_contacts: int = 0
    """Bindings that one AoR may have (rule S-40)."""
    force_registration: bool = False
    """Over `max_contacts`, remove the least recently refreshed binding instead of refusing (flag ``f``, rule S-44 corrected)."""
    max_username_len: int = 64
    max_domain_len: int = 64
    max_aor_len: int = 256
    """User, host and the ``@`` between them, as they stand in the URI; these three have no "no limit" (rule A-4)."""
    max_contact_len: int = 255
    retry_after: int = 0
    """Seconds in the Retry-After of 5xx answers; 0 leaves the header out, save where the store is unavailable (rule R-12)."""
    matching: Matching = BY_CONTACT
    allow_dup_cseq: bool = True
    """Whether a REGISTER with the CSeq of the one before counts as a refresh (rule S-54)."""
    cseq_delay: int = 20
    """Where it does not: for how many seconds it counts as a retransmission."""


MAX_CONTACTS_PER_REGISTER = 32
"""Contacts in one request; each costs a place in every later answer."""

MAX_CALL_ID_LEN = 255
"""Rule S-26."""

MAX_USER_AGENT_LEN = 254
"""A longer User-Agent is not kept (rule S-27)."""

MAX_INSTANCE_LEN = 255
"""A +sip.instance as it stands; those of RFC 5626 §4.1 have some 50 characters."""
