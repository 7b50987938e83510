from __future__ import annotations

import pytest

from sipreg.errors import SettingWrong
from sipreg.store.address import StoreAddress, parse_store_address


class TestParseStoreAddress:
    @pytest.mark.parametrize(
        ("text", "address"),
        [
            ("memory", StoreAddress(kind="memory")),
            ("embedded", StoreAddress(kind="embedded")),
            ("embedded:/var/lib/sipreg", StoreAddress(kind="embedded", path="/var/lib/sipreg")),
            ("embedded:C:colons", StoreAddress(kind="embedded", path="C:colons")),
            ("redis://r", StoreAddress(kind="single", hosts=(("r", 6379),))),
            ("redis://r:7000/", StoreAddress(kind="single", hosts=(("r", 7000),))),
            ("redis://:pw@r/5", StoreAddress(kind="single", hosts=(("r", 6379),), password="pw", db=5)),
            ("redis://me:p%40s%2Fs%3A@r", StoreAddress(kind="single", hosts=(("r", 6379),), user="me", password="p@s/s:")),
            ("rediss://[2001:db8::1]:1", StoreAddress(kind="single", hosts=(("2001:db8::1", 1),), tls=True)),
            ("redis://[::1]", StoreAddress(kind="single", hosts=(("::1", 6379),))),
            ("unix:///run/redis.sock", StoreAddress(kind="unix", path="/run/redis.sock")),
            ("unix://me:pw@/run/r.sock?db=2", StoreAddress(kind="unix", path="/run/r.sock", user="me", password="pw", db=2)),
            ("redis+cluster://a,b:7001", StoreAddress(kind="cluster", hosts=(("a", 6379), ("b", 7001)))),
            ("rediss+cluster://a", StoreAddress(kind="cluster", hosts=(("a", 6379),), tls=True)),
            ("redis+sentinel://a,b:1/main", StoreAddress(kind="sentinel", hosts=(("a", 26379), ("b", 1)), service="main")),
            (
                "rediss+sentinel://:pw@a/main/4?sentinel_password=s%26s",
                StoreAddress(
                    kind="sentinel", hosts=(("a", 26379),), service="main", password="pw", sentinel_password="s&s", db=4, tls=True
                ),
            ),
        ],
    )
    def test_each_form_is_understood(self, text: str, address: StoreAddress) -> None:
        assert parse_store_address(text) == address

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "Memory",
            "memory:",
            "embedded:",
            "redis",
            "redis:",
            "redis://",
            "redis://:6379",
            "redis://host:port",
            "redis://host:0",
            "redis://host:65536",
            "redis://host:1:2",
            "redis://a,b",
            "redis://host/zero",
            "redis://host/1/2",
            "redis://host/1?tls=yes",
            "redis://[::1",
            "redis://[::1]1",
            "http://host",
            "unix://relative",
            "unix:///s?db=",
            "unix:///s?host=x",
            "redis+sentinel://a,b",
            "redis+sentinel://a//",
            "redis+sentinel://a,/main",
            "redis+cluster://a/1",
            "redis+cluster://a,,b",
            "redis+cluster://a/0?x=1",
            "redis+unix:///s",
            "redis://host:²",
        ],
    )
    def test_anything_else_is_refused_in_one_line_that_shows_it_and_what_is_allowed(self, text: str) -> None:
        with pytest.raises(SettingWrong) as refused:
            parse_store_address(text)
        message = str(refused.value)
        assert message.startswith("store: ")
        assert "\n" not in message
        assert "allowed: memory, embedded" in message

    @pytest.mark.parametrize(
        "text", ["redis://me:geheim@host:x", "redis//me:geheim@host", "unix://x?geheim", "redis+cluster://geh:geheim@x@a/1", "geheim@x"]
    )
    def test_a_refusal_never_shows_the_password(self, text: str) -> None:
        with pytest.raises(SettingWrong) as refused:
            parse_store_address(text)
        assert "geheim" not in str(refused.value)


class TestStoreAddress:
    def test_neither_its_text_nor_its_form_for_developers_shows_a_password(self) -> None:
        address = parse_store_address("redis+sentinel://me:geheim@a:1/main?sentinel_password=heimlich")
        for shown in (str(address), repr(address), f"{address}"):
            assert "geheim" not in shown
            assert "heimlich" not in shown
        assert str(address) == "redis+sentinel://me@a:1/main"

    @pytest.mark.parametrize(
        "text",
        [
            "memory",
            "embedded",
            "embedded:dir",
            "redis://a:1",
            "rediss://[::1]:6379/3",
            "unix:///s?db=4",
            "redis+sentinel://a:1,b:2/main/3",
            "rediss+cluster://me%3A@a:1,b:2",
        ],
    )
    def test_without_passwords_its_text_is_what_was_parsed(self, text: str) -> None:
        assert str(parse_store_address(text)) == text
