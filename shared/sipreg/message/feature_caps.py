"""Feature-Caps: what the entities on a request's way can do (RFC 6809 §6)."""

from __future__ import annotations

from collections.abc import Sequence

from sipreg.errors import BadMessage
from sipreg.message.abnf import split_list
from sipreg.message.params import Params, parse_params


def parse_feature_caps(values: Sequence[str]) -> list[Params]:
    """Parse all Feature-Caps header fields of a message: for each entry its feature-capability indicators, such as ``+sip.pns``.

    An entry begins with ``*``. Some registrars leave it out, and say the same.

    Args:
        values: the values of the header fields, top down.

    Raises:
        BadMessage: an entry is no list of indicators.
    """
    entries: list[Params] = []
    for value in values:
        for entry in split_list(value):
            star, _, rest = entry.partition(";")
            params = parse_params(rest if star.strip() == "*" else entry)
            if not all(name.startswith("+") for name in params):
                raise BadMessage("Feature-Caps parse error")
            entries.append(params)
    return entries
