"""Contact: where a device can be reached, or ``*`` for all of them (RFC 3261 §20.10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from sipreg.errors import BadMessage
from sipreg.message.abnf import split_list
from sipreg.message.address import parse_name_addr
from sipreg.message.params import Params, param_text, parse_params


class Contact(msgspec.Struct, frozen=True, gc=False):
    """One contact of a request."""

    uri: str
    """The Contact URI, byte for byte."""
    params: Params
    """contact-params by lower-case name, values as they stand."""

    def param(self, name: str) -> str | None:
        """Return what a parameter says, without quotes; None where it is absent; ``name`` in lower case."""
        return param_text(self.params, name)


STAR: Final = "*"
"""The Contact that stands for all bindings (§10.2.2)."""

Contacts = tuple[Contact, ...] | str
"""The contacts in message order, () if there are none, or `STAR`."""


def parse_contacts(values: Sequence[str]) -> Contacts:
    """Parse all Contact header fields of a message.

    Args:
        values: the values of the header fields, top down.

    Raises:
        BadMessage: one does not parse, or ``*`` does not stand alone (rules S-3, S-10).
    """
    contacts: list[Contact] = []
    star = False
    for value in values:
        for entry in split_list(value) if "," in value or not value else (value,):
            if entry == STAR:
                star = True
                continue
            if entry[0] == "*":
                raise BadMessage("Contact parse error")
            address = parse_name_addr(entry)
            contacts.append(Contact(address.uri, parse_params(address.params)))
    if not star:
        return tuple(contacts)
    if contacts or len(values) > 1 or values[0] != STAR:
        raise BadMessage("* used in contact and more than 1 contact")
    return STAR
