"""What redis-py raises, turned into what we raise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis.exceptions import RedisClusterException, RedisError

from sipreg.errors import StoreUnavailable

CLIENT_ERRORS: Final = (RedisError, RedisClusterException, OSError, TimeoutError)
"""Whatever a client raises when the store does not answer as it should; those of a cluster stand outside the tree of `RedisError`."""


@contextmanager
def store_errors(what: str) -> Iterator[None]:
    """Raise StoreUnavailable, its text beginning with ``what``, in the place of what a client raises."""
    try:
        yield
    except CLIENT_ERRORS as error:
        raise StoreUnavailable(f"{what}: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """Return the text of an error, or its kind if it has none."""
    return str(error) or type(error).__name__
