"""Which transaction a request is (RFC 3261 §17.2.3), as one string to look it up by."""

from __future__ import annotations

from hashlib import sha256

MAGIC_COOKIE = "z9hG4bK"
"""What the branch of a client begins with that makes it unique for each transaction (§8.1.1.7)."""

MAX_KEY = 512
"""Characters; what is longer is kept as its digest, so that no peer decides how much memory a key takes."""


def is_unique(branch: str) -> bool:
    """Whether a branch alone tells transactions apart, so that `server_key` serves; else it takes `legacy_key` (§17.2.3).

    The bare cookie is the same for all requests of its sender and therefore tells nothing (RFC 4475 §3.2.1).
    """
    return len(branch) > len(MAGIC_COOKIE) and branch.startswith(MAGIC_COOKIE)


def server_key(method: str, branch: str, sent_by: str, source: str) -> str:
    """Return the key of a request whose branch `is_unique`; at most `MAX_KEY` ASCII characters.

    A CANCEL has its own key; the one of the INVITE that it means is that of the same values with method INVITE (§9.2).

    Args:
        method: as in the request line; an ACK belongs to the INVITE that it acknowledges.
        branch: of the top Via, as received: a client sends the same bytes again.
        sent_by: host and port of the top Via as text, as received; host names differ in case only by accident.
        source: where the request came from as text. The RFC leaves it out; we do not, because whoever guesses
            another's branch must not be given that one's answer.
    """
    if method == "ACK":
        method = "INVITE"
    # The branch comes last, as the peer may put anything there; what stands before it has no line end.
    key = f"{method}\n{source}\n{sent_by.lower()}\n{branch}"
    return key if len(key) <= MAX_KEY and key.isascii() else _digest(key)


def legacy_key(*, method: str, request_uri: str, to_tag: str, from_tag: str, call_id: str, cseq: int, top_via: str, source: str) -> str:
    """Return the key of a request of an RFC 2543 client, whose branch is none or not unique (§17.2.3, second list).

    The To tag of an ACK is the one that we chose, which its INVITE did not bear yet. So it does not count for these
    two: Call-ID, From tag and CSeq number already tell one INVITE from another (§12.2.1.1), and this way one key
    finds the INVITE for its ACK and for its CANCEL, whose To tag is that of the INVITE.

    Args:
        method: as in the request line.
        request_uri: as received.
        to_tag: "" where there is none.
        from_tag: "" where there is none.
        call_id: as received.
        cseq: its number.
        top_via: the first Via value, all parameters included, as received.
        source: as for `server_key`.
    """
    if method in ("INVITE", "ACK"):
        method, to_tag = "INVITE", ""
    # As a tuple's text, since any of these values may hold any separator.
    key = f"2543 {(method, source, request_uri, to_tag, from_tag, call_id, cseq, top_via)!a}"
    return key if len(key) <= MAX_KEY else _digest(key)


def _digest(key: str) -> str:
    """A stand-in for a long key; no other key begins like it, as a method is followed by a line end."""
    return f"sha256 {sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"
