"""Subscribers as they are managed: what may be stored, and what each change means, whatever keeps them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from sipreg.errors import BadMessage, SipregError
from sipreg.message.uri import canonical_host
from sipreg.registrar.digest import HASHES, ha1_values
from sipreg.registrar.ports import Credential

_NAME_BYTES: Final = 255
"""Of a user or a realm, in UTF-8: a domain has no more (RFC 1035 §2.3.4), and a limit keeps what is remembered small."""
_PASSWORD_BYTES: Final = 1024
_AOR_BYTES: Final = 512
_MOST_AORS: Final = 64

_ENCODE: Final = msgspec.json.encode
_DECODE: Final = msgspec.json.Decoder(Credential).decode


class SubscriberError(SipregError):
    """A subscriber cannot be stored, changed or removed as asked; the text says why, and nothing was changed."""


class Subscriber(NamedTuple):
    """Who a subscriber is; in order by realm, then by user."""

    realm: str
    user: str

    def __str__(self) -> str:
        return f"{self.user}@{self.realm}"


def ha1_for(user: str, realm: str, password: str) -> dict[str, str]:
    """Return what is kept in the place of a password, by algorithm (RFC 7616 §3.4.2); realms are kept in lower case."""
    return ha1_values(user, realm.lower(), password)


def is_user(user: str) -> bool:
    """Whether a subscriber may have this name: printable, 1 to 255 bytes, and without ":", which ends it in A1 (RFC 7616 §3.4.2)."""
    return _is_name(user) and ":" not in user


def subscriber(realm: str, user: str) -> Subscriber:
    """Return the subscriber of this name, its realm in lower case.

    Raises:
        SubscriberError: the name or the realm cannot be one.
    """
    if not is_user(user):
        raise SubscriberError(f"User {user[:80]!r}: must be 1 to {_NAME_BYTES} bytes of printable text without ':'")
    if not _is_name(realm):
        raise SubscriberError(f"Realm {realm[:80]!r}: must be 1 to {_NAME_BYTES} bytes of printable text")
    return Subscriber(realm.lower(), user)


class SubscriberStore(ABC):
    """Changes of subscribers, each made whole or not at all; every cache is told at once.

    All of them raise SubscriberError for what cannot be done, and StoreUnavailable if the store could not be asked: then it is not
    known whether the change was made.
    """

    async def add(self, realm: str, user: str, password: str, aors: Iterable[str] = ()) -> None:
        """Store a new subscriber, who may register ``aors`` (``user@host``) beside its own; one that exists is refused."""
        who = subscriber(realm, user)
        _check_password(password)
        credential = Credential(ha1_for(user, realm, password), _canonical(aors))
        if not await self._create(who, credential):
            raise SubscriberError(f"Subscriber {who} exists already")

    async def set_password(self, realm: str, user: str, password: str) -> None:
        """Replace the password of a subscriber who exists."""
        who = subscriber(realm, user)
        _check_password(password)
        if not await self._update(who, ha1_for(user, realm, password)):
            raise SubscriberError(f"There is no subscriber {who}")

    async def remove(self, realm: str, user: str) -> None:
        """Forget a subscriber who exists; what it has registered stays until it lapses."""
        who = subscriber(realm, user)
        if not await self._delete(who):
            raise SubscriberError(f"There is no subscriber {who}")

    async def list_subscribers(self, realm: str | None = None) -> list[Subscriber]:
        """Return the subscribers of a realm, or all, in order."""
        return sorted(await self._names(None if realm is None else realm.lower()))

    @abstractmethod
    async def _create(self, who: Subscriber, credential: Credential) -> bool:
        """Store a subscriber; False if it exists."""

    @abstractmethod
    async def _update(self, who: Subscriber, ha1: Mapping[str, str]) -> bool:
        """Replace the HA1 of all algorithms; False if there is no such subscriber."""

    @abstractmethod
    async def _delete(self, who: Subscriber) -> bool:
        """Forget a subscriber; False if there is none."""

    @abstractmethod
    async def _names(self, realm: str | None) -> set[Subscriber]:
        """Return all subscribers, or those of a realm."""


def packed(fields: Mapping[bytes, bytes]) -> bytes | None:
    """Return a stored hash as bytes, which cost less to remember than objects and are soon made one; None if there is no hash.

    The hash has a field per algorithm, and perhaps ``aors``, one a line. Algorithms that we do not know are left out.
    """
    if not fields:
        return None
    ha1 = {name: fields[name.encode()].decode("ascii", "replace").strip().lower() for name in HASHES if name.encode() in fields}
    aors = fields.get(b"aors", b"").decode("utf-8", "replace").splitlines()
    return _ENCODE(Credential(ha1, tuple(filter(None, aors))))


def unpacked(data: bytes) -> Credential:
    """Return the credential that `packed` made bytes of."""
    return _DECODE(data)


def _is_name(text: str) -> bool:
    # isprintable refuses control characters, and surrogates, that is, bytes which are not UTF-8.
    return text.isprintable() and 1 <= len(text.encode()) <= _NAME_BYTES


def _check_password(password: str) -> None:
    size = len(password.encode("utf-8", "surrogateescape"))
    if not 1 <= size <= _PASSWORD_BYTES:
        raise SubscriberError(f"The password has {size} bytes; it must have 1 to {_PASSWORD_BYTES}")


def _canonical(aors: Iterable[str]) -> tuple[str, ...]:
    """Check AoRs, and write each as the registrar does: the host in lower case (RFC 3261 §10.3 step 5)."""
    result = []
    for aor in aors:
        user, at, host = aor.rpartition("@")
        if not (at and user and host and aor.isprintable() and " " not in aor and len(aor.encode()) <= _AOR_BYTES):
            raise SubscriberError(f"AoR {aor[:80]!r}: must be user@host, at most {_AOR_BYTES} bytes of printable text without blanks")
        try:
            result.append(f"{user}@{canonical_host(host)}")
        except BadMessage as error:
            raise SubscriberError(f"AoR {aor[:80]!r}: {error}") from error
    if len(result) > _MOST_AORS:
        raise SubscriberError(f"{len(result)} AoRs are too many; a subscriber has at most {_MOST_AORS}")
    return tuple(dict.fromkeys(result))
