from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import sipreg.store
from sipreg.store.resp import pack, unpack
from sipreg.store.scripts import COMMIT_RECORD, SCRIPTS, Script, with_source


class TestScripts:
    def test_each_is_a_file_under_its_name(self) -> None:
        folder = Path(sipreg.store.__file__).with_name("lua")
        assert {script.name for script in SCRIPTS} <= {path.stem for path in folder.glob("*.lua")}

    @pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
    def test_each_begins_with_what_it_does_and_has_the_name_that_redis_gives_it(self, script: Script) -> None:
        assert script.source.startswith(f"-- {script.name}: ")
        assert script.sha == hashlib.sha1(script.source.encode()).hexdigest()
        assert unpack(script.load()) == [b"SCRIPT", b"LOAD", script.source.encode()]


class TestWithSource:
    def test_a_call_by_name_becomes_one_that_brings_the_source(self) -> None:
        command = pack("EVALSHA", COMMIT_RECORD.sha, 1, "key", b"\xff\r\n")
        whole = with_source(command)
        assert whole is not None
        assert unpack(whole) == [b"EVAL", COMMIT_RECORD.source.encode(), b"1", b"key", b"\xff\r\n"]

    def test_a_name_within_an_argument_is_left_alone(self) -> None:
        inner = pack("EVALSHA", COMMIT_RECORD.sha)
        whole = with_source(pack("EVALSHA", COMMIT_RECORD.sha, 0, inner))
        assert whole is not None
        assert unpack(whole)[-1] == inner

    def test_other_commands_are_none_of_ours(self) -> None:
        assert with_source(pack("EVALSHA", "f" * 40, 0)) is None
        assert with_source(pack("GET", "key")) is None
