r"""What is kept and told of an AoR, as bytes: records in Redis, and events on channels and in the log.

A record is 16 ASCII bytes of etag, then JSON: ``{"v":1,"bindings":[...]}`` with the fields of `Binding`, those at their default left out.
Version N of the record is read by programs that write N or N-1, and unknown fields are passed over, so that two versions can
run side by side during an upgrade.

Text from peers may hold bytes that are not UTF-8, as surrogate escapes. JSON can name those (``\udcff``), but msgspec refuses to
write and to read them; such values, and only they, go through the standard library.
"""

from __future__ import annotations

import json
from typing import Final

import msgspec

from sipreg.errors import StoreUnavailable
from sipreg.registrar.model import ABSENT, Binding, Event, Snapshot

RECORD_VERSION: Final = 1
"""What we write; the next version must go on reading this one."""

ETAG_LENGTH: Final = 16
"""Bytes of the etag at the head of a record; the scripts cut it off by this."""


class _Record(msgspec.Struct, frozen=True, gc=False):
    v: int
    bindings: tuple[Binding, ...]


class _RecordHead(msgspec.Struct, frozen=True, gc=False):
    v: int


class _AorEvent(msgspec.Struct, frozen=True, gc=False):
    """The parameters of rule EV-1, and the event's name."""

    event: str
    domain: str
    aor: str


class _ContactEvent(msgspec.Struct, frozen=True, gc=False):
    """The parameters of rule EV-2, and the event's name."""

    event: str
    domain: str
    aor: str
    uri: str
    received: str
    path: str
    qval: int
    user_agent: str
    socket: str
    bflags: int
    expires: int
    callid: str
    cseq: int
    attr: str
    latency: int
    shtag: str


_encode: Final = msgspec.json.Encoder().encode
_decode_record: Final = msgspec.json.Decoder(_Record)


def encode_record(etag: str, bindings: tuple[Binding, ...]) -> bytes:
    """Return the value of an AoR's key.

    Args:
        etag: 16 ASCII characters that name this state among all that the AoR ever had.
        bindings: at least one; a record without any is not written but removed.
    """
    record = _Record(RECORD_VERSION, bindings)
    try:
        return etag.encode() + _encode(record)
    except UnicodeEncodeError:
        return etag.encode() + _encode_awkward(record)


def decode_record(value: bytes) -> Snapshot:
    """Return what `encode_record` was given; `ABSENT` for b"".

    Raises:
        StoreUnavailable: the record is of a newer version, or is no record at all. It must not pass for "absent": a plan on that
            would overwrite bindings that somebody else can read.
    """
    if not value:
        return ABSENT
    body = value[ETAG_LENGTH:]
    try:
        record = _decode_record.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        record = _decode_unusual(body, error)
    if record.v > RECORD_VERSION:
        raise StoreUnavailable(f"Record of version {record.v}, and {RECORD_VERSION} is the newest known here")
    etag = value[:ETAG_LENGTH]
    if not etag.isascii():
        raise StoreUnavailable("Record that cannot be read: its etag is not text")
    return Snapshot(etag.decode(), record.bindings)


def event_json(event: Event) -> bytes:
    """Return an event as JSON: ``event``, its name, and the parameters that the specification gives it (rules EV-1 and EV-2)."""
    aor = event.aor
    told: _AorEvent | _ContactEvent
    if event.binding is None:
        told = _AorEvent(event.name, aor.table, aor.text)
    else:
        binding = event.binding
        told = _ContactEvent(
            event.name,
            aor.table,
            aor.text,
            binding.contact,
            binding.received,
            binding.path,
            binding.q,
            binding.user_agent,
            binding.socket,
            0,  # bflags: branch flags belong to a script's routes, and there are none here
            binding.expires_at_ms // 1000,
            binding.call_id,
            binding.cseq,
            binding.attr,
            0,  # latency: known to whoever pings, and not part of a REGISTER
            binding.tag,
        )
    try:
        return _encode(told)
    except UnicodeEncodeError:
        return _encode_awkward(told)


def _encode_awkward(value: msgspec.Struct) -> bytes:
    """Write text that holds surrogate escapes, in ASCII alone."""
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=True, separators=(",", ":")).encode("ascii")


def _decode_unusual(body: bytes, first: Exception) -> _Record:
    """Read what the fast way refused: a record with surrogate escapes, or one that is not ours to read."""
    try:
        plain = json.loads(body)
        version = msgspec.convert(plain, _RecordHead).v
        if version > RECORD_VERSION:
            raise StoreUnavailable(f"Record of version {version}, and {RECORD_VERSION} is the newest known here")
        return msgspec.convert(plain, _Record)
    except (ValueError, msgspec.ValidationError) as error:
        raise StoreUnavailable(f"Record that cannot be read: {first}") from error
