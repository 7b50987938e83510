"""A REGISTER as the registrar sees it: read from the message once, before anything is decided."""

from __future__ import annotations

import msgspec

from sipreg.errors import BadMessage
from sipreg.message.abnf import is_number, qvalue, unquoted
from sipreg.message.contact import Contact
from sipreg.message.model import Request
from sipreg.registrar.expiry import requested_expires
from sipreg.registrar.methods import allowed_methods, method_bits
from sipreg.registrar.model import ALL_METHODS, Aor
from sipreg.registrar.parameters import (
    MAX_CALL_ID_LEN,
    MAX_CONTACTS_PER_REGISTER,
    MAX_INSTANCE_LEN,
    MAX_USER_AGENT_LEN,
    Matching,
    Parameters,
)

_REG_ID_LIMIT = 1 << 31
_MAX_REG_ID_DIGITS = 10


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """How a request came to us."""

    now_ms: int
    """Unix time in milliseconds, the same for all that is done with the request (rule S-5)."""
    host: str
    """Address that it came from, IPv6 without brackets."""
    port: int
    socket: str
    """Local socket that took it, as ``transport:host:port``."""
    edge: str = ""
    """Id of this node."""
    flow: str = ""
    """The connection that it came over, "" for a datagram."""


class WantedContact(msgspec.Struct, frozen=True, gc=False):
    """One contact of a REGISTER."""

    uri: str
    requested: int | None
    """Seconds asked for, 0 to remove it, None where that is left to us."""
    q: int
    methods: int
    instance: str
    reg_id: int


class Registration(msgspec.Struct, frozen=True, gc=False):
    """What one REGISTER asks for."""

    aor: Aor
    call_id: str
    cseq: int
    contacts: tuple[WantedContact, ...]
    star: bool
    """``Contact: *`` with ``Expires: 0``."""
    user_agent: str
    arrival: Arrival
    received: str = ""
    path: str = ""
    attr: str = ""
    tag: str = ""
    flags: int = 0
    matching: Matching | None = None
    """Overrides `Parameters.matching` for this request."""


def read_registration(request: Request, aor: Aor, arrival: Arrival, parameters: Parameters) -> Registration:
    """Read what a REGISTER asks for.

    Raises:
        BadMessage: something of it breaks its grammar or a limit (rules S-2, S-3, S-10, S-11, S-25, S-26).
    """
    call_id = request.call_id
    if len(call_id) > MAX_CALL_ID_LEN:
        raise BadMessage("Callid too long")
    cseq = request.cseq.number
    expires = request.seconds("expires", "Expires")
    contacts = request.contacts
    headers = request.headers
    user_agent = headers.get("user-agent") or ""
    if len(user_agent) > MAX_USER_AGENT_LEN:
        user_agent = ""
    if isinstance(contacts, str):
        if expires != 0:
            raise BadMessage("* used in contact and expires is not zero")
        return Registration(aor, call_id, cseq, (), True, user_agent, arrival)
    if len(contacts) > MAX_CONTACTS_PER_REGISTER:
        raise BadMessage("Too many contacts in one request")
    allow = headers.all("allow")
    methods = allowed_methods(allow[0] if len(allow) == 1 else ",".join(allow)) if allow else ALL_METHODS
    wanted = tuple([_wanted(contact, expires, methods, parameters) for contact in contacts])
    return Registration(aor, call_id, cseq, wanted, False, user_agent, arrival)


def _wanted(contact: Contact, expires: int | None, methods: int, parameters: Parameters) -> WantedContact:
    """Read one contact, by itself: nothing of it is inherited by the next (rule S-35, corrected)."""
    if parameters.max_contact_len and len(contact.uri) > parameters.max_contact_len:
        raise BadMessage("Contact/received too long")
    params = contact.params
    if not params:
        return WantedContact(contact.uri, expires, parameters.default_q, methods, "", 0)
    q = params.get("q")
    own_methods = params.get("methods")
    if own_methods:
        methods = method_bits(entry.strip() for entry in unquoted(own_methods).split(","))
    instance = params.get("+sip.instance")
    if instance and len(instance) > MAX_INSTANCE_LEN:
        raise BadMessage("Instance too long")
    own_expires = params.get("expires")
    return WantedContact(
        contact.uri,
        requested_expires(own_expires, expires) if own_expires else expires,
        qvalue(q) if q else parameters.default_q,
        methods,
        unquoted(instance) if instance else "",
        _reg_id(params.get("reg-id")),
    )


def _reg_id(text: str | None) -> int:
    """Return a reg-id, from 1 to below 2**31 (RFC 5626 §4.2); 0 for none or for nonsense."""
    number = int(text) if text and len(text) <= _MAX_REG_ID_DIGITS and is_number(text) else 0
    return number if number < _REG_ID_LIMIT else 0
