from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import SlotNotCoveredError

from sipreg.errors import StoreUnavailable
from sipreg.store.client_errors import store_errors


class TestStoreErrors:
    @pytest.mark.parametrize("error", [RedisConnectionError("lost"), SlotNotCoveredError("lost"), OSError("lost"), TimeoutError("lost")])
    def test_what_a_client_raises_makes_the_store_unavailable(self, error: Exception) -> None:
        with pytest.raises(StoreUnavailable, match=r"^Nothing is known: lost$") as raised, store_errors("Nothing is known"):
            raise error
        assert raised.value.__cause__ is error

    def test_an_error_without_a_text_is_told_by_its_kind(self) -> None:
        with pytest.raises(StoreUnavailable, match=r"^Nothing is known: TimeoutError$"), store_errors("Nothing is known"):
            raise TimeoutError

    def test_a_mistake_of_ours_stays_one(self) -> None:
        with pytest.raises(KeyError), store_errors("Nothing is known"):
            raise KeyError("ours")
