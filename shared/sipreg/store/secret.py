"""The secret that all nodes of a cluster share, and what is derived from it.

It lies in the store, so that every edge knows the nonces of the others and nobody has to hand out keys: whoever may read the store may read
the credentials, too.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import Final

from sipreg.errors import SettingWrong
from sipreg.store.admin import AdminClient
from sipreg.store.client_errors import store_errors
from sipreg.store.keys import Keys

_BYTES: Final = 32
_HEX: Final = re.compile(rf"[0-9a-f]{{{2 * _BYTES}}}")
_PASSWORD_LEN: Final = 12
"""Base32 digits of a demo password: 60 bits, and short enough to be typed into a phone."""


def fresh_secret() -> bytes:
    """Return a new secret: for the memory store, which nobody shares."""
    return secrets.token_bytes(_BYTES)


async def cluster_secret(client: AdminClient, keys: Keys) -> bytes:
    """Return the secret of the cluster, 32 bytes; whoever comes first makes it, for all.

    Raises:
        StoreUnavailable: the store cannot be asked.
        SettingWrong: what stands under the secret's key was not written by us.
    """
    key = f"{keys.prefix}:secret"
    with store_errors("The store does not tell the cluster's secret"):
        await client.set(key, fresh_secret().hex(), nx=True)
        kept = await client.get(key)
    text = kept.decode("ascii", "replace") if isinstance(kept, bytes) else str(kept)
    if not _HEX.fullmatch(text):
        raise SettingWrong(f"store: the key {key} does not hold a secret of ours; if nothing else uses it, delete it")
    return bytes.fromhex(text)


def derive(secret: bytes, purpose: str) -> bytes:
    """Return a key of 32 bytes for one purpose; it tells nothing of the secret, nor of the keys for other purposes."""
    return hashlib.blake2s(purpose.encode("utf-8", "surrogateescape"), key=secret).digest()


def demo_password(secret: bytes, user: str, realm: str) -> str:
    """Return the password of a demo subscriber: always the same, so that it can be shown at every start though only HA1 is stored."""
    digest = derive(secret, f"demo password\0{realm.lower()}\0{user}")
    return base64.b32encode(digest)[:_PASSWORD_LEN].decode("ascii").lower()
