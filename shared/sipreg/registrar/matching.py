"""Which binding a contact means (rules S-50 to S-53, corrected)."""

from __future__ import annotations

from collections.abc import Sequence

from sipreg.errors import BadMessage
from sipreg.message.abnf import unescaped
from sipreg.message.uri import SipUri, Uri, parse_uri, same_uri
from sipreg.registrar.model import Binding
from sipreg.registrar.parameters import Matching

NONE = -1


def find_binding(bindings: Sequence[Binding], contact: str, call_id: str, matching: Matching) -> int:
    """Return the index of the first binding that a contact means, `NONE` if there is none.

    Raises:
        BadMessage: the contact is no URI. One that is byte for byte a stored one is not parsed again.
    """
    for index, binding in enumerate(bindings):
        if binding.contact == contact and (not matching.call_id or binding.call_id == call_id):
            return index
    uri = _contact_uri(contact)
    ours = _param(uri, matching.param)
    for index, binding in enumerate(bindings):
        if matching.call_id and binding.call_id != call_id:
            continue
        theirs = parse_uri(binding.contact)
        value = _param(theirs, matching.param)
        # The parameter counts where both have it; where one lacks it they differ (rule S-53, corrected), where both do the URI counts.
        if value == ours if ours is not None or value is not None else same_uri(uri, theirs):
            return index
    return NONE


def _contact_uri(contact: str) -> Uri:
    try:
        uri = parse_uri(contact)
        # A malformed escape must be found now, not when the next contact is compared: it would lock out all others.
        same_uri(uri, uri)
        if isinstance(uri, SipUri):
            unescaped(uri.params)
    except BadMessage as error:
        raise BadMessage("Contact parse error") from error
    return uri


def _param(uri: Uri, name: str) -> str | None:
    return uri.param(name) if name and isinstance(uri, SipUri) else None
