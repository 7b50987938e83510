"""How long a contact is granted (RFC 3261 §10.3 step 7, rules S-21 to S-23)."""

from __future__ import annotations

from sipreg.errors import IntervalTooBrief
from sipreg.message.abnf import is_number
from sipreg.message.model import capped_seconds
from sipreg.registrar.parameters import Parameters, TooBrief

HOUR = 3600


def requested_expires(param: str | None, header: int | None) -> int | None:
    """Return what a contact asks for, in seconds; None where it leaves it to us.

    Args:
        param: the contact's ``expires``, None or "" where it has none.
        header: the Expires header, None where there is none.
    """
    if not param:
        return header
    # A word instead of a number counts as not asked for (rule S-21).
    return capped_seconds(param) if is_number(param) else None


def granted_expires(requested: int | None, parameters: Parameters) -> int:
    """Return the lifetime to grant, in seconds; 0 removes the binding.

    Args:
        requested: what `requested_expires` gave.
        parameters: our least, usual and longest lifetime, and what to do with less than the least.

    Raises:
        IntervalTooBrief: ``requested`` is below the least, and `Parameters.too_brief` is REFUSE.
    """
    if requested == 0:
        return 0
    if requested is None:
        seconds = parameters.default_expires
    elif requested < parameters.min_expires:
        # The specification raises a short interval; the RFC would refuse it, though never one of an hour or more.
        if parameters.too_brief is TooBrief.REFUSE and requested < HOUR:
            raise IntervalTooBrief(parameters.min_expires)
        seconds = parameters.min_expires
    else:
        seconds = requested
    seconds = max(seconds, parameters.min_expires, 1)
    return min(seconds, parameters.max_expires) if parameters.max_expires else seconds
