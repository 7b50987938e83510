"""Header fields: an ordered multimap that knows the compact forms and no case (RFC 3261 §7.3)."""

from __future__ import annotations

from collections.abc import Iterator

from sipreg.errors import BadMessage
from sipreg.message.abnf import is_token

#: §7.3.3 and the registry of SIP header fields: compact form to full name.
COMPACT = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition", "e": "content-encoding",
    "f": "from", "i": "call-id", "j": "reject-contact", "k": "supported", "l": "content-length", "m": "contact",
    "n": "identity-info", "o": "event", "r": "refer-to", "s": "subject", "t": "to", "u": "allow-events", "v": "via",
    "x": "session-expires", "y": "identity",
}  # fmt: skip

_USUAL = (
    "Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Contact", "Expires", "Authorization", "Proxy-Authorization",
    "User-Agent", "Allow", "Supported", "Require", "Proxy-Require", "Content-Length", "Content-Type", "Route", "Record-Route",
    "Path", "Event", "Accept", "Server", "Date", "Allow-Events", "Feature-Caps", "Organization", "Subject", "Call-Id", "Cseq",
)  # fmt: skip

#: Spelling to name, for all spellings that are met in practice: one look-up for most header fields of most messages.
KNOWN: dict[str, str] = {
    spelling: name
    for usual, name in [*((name, name.lower()) for name in _USUAL), *COMPACT.items()]
    for spelling in (usual, usual.lower(), usual.upper())
}


def header_name(text: str) -> str:
    """Return the name under which a header field is kept: lower case, in full.

    Raises:
        BadMessage: it is no token.
    """
    # §25.1, HCOLON: blanks may stand between name and colon.
    spelling = text.rstrip(" \t")
    # Before case is folded: the Kelvin sign is no token, though its lower case is a k.
    if not is_token(spelling):
        raise BadMessage("Header name that is no token")
    name = spelling.lower()
    return COMPACT.get(name, name)


class FoldedLine(BadMessage):
    """A line continues the one before (§7.3.1): to be joined, and read again."""


class Headers:
    """The header fields of one message, in order; not changed after they were read."""

    __slots__ = ("_lines", "first", "more")

    def __init__(self, lines: list[str]) -> None:
        """Take the unfolded header lines, without their line ends.

        Raises:
            BadMessage: a line is no header field; the good ones can still be read.
        """
        self._lines = lines
        self.more: dict[str, list[str]] | None = None
        """Further values of those that come more than once, None if there are none."""
        self.first: dict[str, str] = {}
        """The first value of every header field, by name; for reading."""
        first, known = self.first, KNOWN
        try:
            for line in lines:
                text, _, value = line.partition(":")
                first[known[text]] = value.strip(" \t")
        except KeyError:
            pass
        if len(first) != len(lines) or "" in first.values():
            # Not only well-known names, each once, and all with something to say: most messages never come here.
            first.clear()
            self._read_carefully(lines)

    def _read_carefully(self, lines: list[str]) -> None:
        first, known = self.first, KNOWN
        bad: BadMessage | None = None
        for line in lines:
            text, colon, value = line.partition(":")
            name = known.get(text)
            if name is None or not colon:
                if line[:1] in (" ", "\t") and first:
                    raise FoldedLine("Folded line")
                try:
                    name = header_name(text)
                    if not colon:
                        raise BadMessage("Header line without a colon")
                except BadMessage as error:
                    bad = bad or error
                    continue
            if name in first:
                if self.more is None:
                    self.more = {}
                self.more.setdefault(name, []).append(value.strip(" \t"))
            else:
                first[name] = value.strip(" \t")
        if bad is not None:
            raise bad

    def get(self, name: str) -> str | None:
        """Return the first value of a header; ``name`` in lower case and full. None where it is absent."""
        return self.first.get(name)

    def all(self, name: str) -> tuple[str, ...]:
        """Return the values of all header fields of this name, top down, each as it stands."""
        value = self.first.get(name)
        if value is None:
            return ()
        if self.more is None or name not in self.more:
            return (value,)
        return (value, *self.more[name])

    def count(self, name: str) -> int:
        """Return how many header fields have this name."""
        if name not in self.first:
            return 0
        return 1 if self.more is None else 1 + len(self.more.get(name, ()))

    def __contains__(self, name: str) -> bool:
        return name in self.first

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield (name as it was spelt, value) of every header field, in order."""
        for line in self._lines:
            name, _, value = line.partition(":")
            yield name.rstrip(" \t"), value.strip(" \t")

    def __len__(self) -> int:
        return len(self._lines)
