from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipreg.store.resp import bulk, pack, to_bytes, unpack

PARTS = st.lists(st.binary(max_size=20) | st.text(max_size=20) | st.integers(), min_size=1, max_size=8)


class TestPack:
    def test_a_command_is_an_array_of_bulk_strings(self) -> None:
        assert pack("SET", b"k\r\n", 12) == b"*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$2\r\n12\r\n"

    def test_lengths_are_those_of_the_bytes(self) -> None:
        assert pack("é", "\U0001f4de") == b"*2\r\n$2\r\n\xc3\xa9\r\n$4\r\n\xf0\x9f\x93\x9e\r\n"

    def test_bytes_that_are_not_utf_8_are_sent_as_they_came(self) -> None:
        assert pack("\udcff\udc80", "", b"\x00", 1) == b"*4\r\n$2\r\n\xff\x80\r\n$0\r\n\r\n$1\r\n\x00\r\n$1\r\n1\r\n"

    @given(PARTS)
    def test_whatever_is_packed_is_unpacked_as_its_bytes(self, parts: list[str | bytes | int]) -> None:
        expected = [part if isinstance(part, bytes) else to_bytes(str(part)) for part in parts]
        assert unpack(pack(*parts)) == expected

    @given(st.binary(max_size=30))
    def test_any_bytes_of_a_peer_make_the_way_as_text_and_back(self, data: bytes) -> None:
        assert unpack(pack("GET", data.decode("utf-8", "surrogateescape"))) == [b"GET", data]

    def test_a_part_alone_is_as_it_stands_in_a_command(self) -> None:
        assert pack("EVALSHA", "\udcffé") == b"*2\r\n" + bulk("EVALSHA") + bulk("\udcffé")


class TestUnpack:
    @pytest.mark.parametrize("data", [b"", b"*2\r\n$1\r\na\r\n", b"+OK\r\n"])
    def test_less_than_a_command_is_refused(self, data: bytes) -> None:
        with pytest.raises(ValueError, match="not one whole command"):
            unpack(data)
