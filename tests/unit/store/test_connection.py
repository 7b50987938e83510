"""How a connection bears with a peer that speaks RESP late, in pieces, out of turn or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import hiredis
import pytest

from sipreg.errors import StoreUnavailable
from sipreg.store.connection import Connection, Target, connect
from sipreg.store.link import Done, LinkLimits, Reply
from sipreg.store.resp import pack, unpack
from sipreg.store.scripts import COMMIT_RECORD

ECHO = b"$4\r\necho\r\n"


class Peer:
    """The other end: it answers what a new connection sends by itself, then leaves the answers to the test."""

    def __init__(self) -> None:
        self.writes: list[list[list[bytes]]] = []
        self.port = 0
        self.greeted = asyncio.Event()
        self.answers: Callable[[list[bytes]], bytes | None] = lambda command: b"+OK\r\n"
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        parser = hiredis.Reader()
        while data := await reader.read(65536):
            parser.feed(data)
            commands = []
            while (command := parser.gets()) is not False:
                assert isinstance(command, list)
                commands.append(command)
                answer = self.answers(command)
                if answer:
                    writer.write(answer)
            self.writes.append(commands)
        writer.close()

    def say(self, data: bytes) -> None:
        self._writers[-1].write(data)

    def hang_up(self) -> None:
        self._writers[-1].close()


@asynccontextmanager
async def a_peer() -> AsyncIterator[Peer]:
    peer = Peer()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for writer in peer._writers:
            writer.close()
        await asyncio.sleep(0)


class Owner:
    """What a connection tells whoever made it."""

    def __init__(self) -> None:
        self.refusals: list[str] = []
        self.losses: list[str] = []

    def refused(self, text: str, done: Done, command: bytes) -> None:
        self.refusals.append(text)
        done(StoreUnavailable(text))

    def lost(self, reason: str) -> None:
        self.losses.append(reason)

    async def connect(self, peer: Peer, **limits: Any) -> Connection:
        return await connect(Target(host="127.0.0.1", port=peer.port), LinkLimits(**limits), self.refused, self.lost)


def silent(command: list[bytes]) -> bytes | None:
    return None


def run(scenario: Callable[[Peer, Owner], Coroutine[None, None, None]]) -> None:
    async def course() -> None:
        async with a_peer() as peer, asyncio.timeout(10):
            await scenario(peer, Owner())

    asyncio.run(course())


async def until(condition: Callable[[], object]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("waited 5 s in vain")


class TestCommands:
    def test_all_commands_of_one_turn_leave_in_one_write_and_in_order(self) -> None:
        async def scenario(peer: Peer, owner: Owner) -> None:
            connection = await owner.connect(peer)
            peer.writes.clear()
            replies: list[Reply] = []
            for number in range(50):
                connection.call(pack("GET", number), replies.append)
            await until(lambda: len(replies) == 50)
            assert peer.writes == [[[b"GET", b"%d" % number] for number in range(50)]]
            connection.end("over")

        run(scenario)

    def test_replies_in_pieces_and_many_in_one_find_those_who_wait_for_them(self) -> None:
        async def scenario(peer: Peer, owner: Owner) -> None:
            connection = await owner.connect(peer)
            peer.answers = silent
            replies: list[tuple[str, Reply]] = []

            def keep(name: str, reply: Reply) -> None:
                replies.append((name, reply))

            for name in "abcdef":
                connection.call(pack("GET", name), partial(keep, name))
            await asyncio.sleep(0)
            stream = b":1\r\n$2\r\n\r\n\r\n$-1\r\n*2\r\n$1\r\nx\r\n:2\r\n+OK\r\n$100000\r\n" + b"y" * 100_000 + b"\r\n"
            for cut in (3, 9, 15, 30, 50_000):
                peer.say(stream[:cut])
                stream = stream[cut:]
                await asyncio.sleep(0.01)
            peer.say(stream)
            await until(lambda: len(replies) == 6)
            assert replies == [("a", 1), ("b", b"\r\n"), ("c", None), ("d", [b"x", 2]), ("e", b"OK"), ("f", b"y" * 100_000)]
            connection.end("over")

        run(scenario)

    def test_a_callback_that_raises_takes_no_other_reply_away(self, caplog: pytest.LogCaptureFixture) -> None:
        async def scenario(peer: Peer, owner: Owner) -> None:
            connection = await owner.connect(peer)
            peer.answers = lambda command: b"-ERR no\r\n" if command[1] == b"refused" else b"$%d\r\n%b\r\n" % (len(command[1]), command[1])
            replies: list[Reply] = []

            def wrong(reply: Reply) -> None:
                raise RuntimeError("a bug of the caller")

            for name in ("first", "refused", "second"):
                connection.call(pack("GET", name), wrong)
                connection.call(pack("GET", name), replies.append)
            await until(lambda: len(replies) == 3)
            assert (replies[0], replies[2]) == (b"first", b"second")
            assert isinstance(replies[1], StoreUnavailable)
            assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["a bug of the caller"] * 3
            connection.end("over")

        run(scenario)

    def test_a_callback_may_send_the_next_command(self) -> None:
        async def scenario(peer: Peer, owner: Owner) -> None:
            connection = await owner.connect(peer)
            replies: list[Reply] = []

            def again(reply: Reply) -> None:
                replies.append(reply)
                if len(replies) < 20:
                    connection.call(pack("GET", "x"), again)

            connection.call(pack("GET", "x"), again)
            await until(lambda: len(replies) == 20)
            assert not any(isinstance(reply, StoreUnavailable) for reply in replies)
            connection.end("over")

        run(scenario)

    def test_an_error_reply_goes_to_the_owner(self) -> None:
        async def scenario(peer: Peer, owner: Owner) -> None:
            connection = await owner.connect(peer)
            peer.answers = lambda command: b"-MOVED 1 h:2\r\n"
            with pytest.raises(StoreUnavailable):
                await connection.ask(pack("GET", "x"))
            assert owner.refusals == ["MOVED 1 h:2"]
            assert not owner.losses
            connection.end("over")

        run(scenario)

    def test_a_script_that_the_server_forgot_is_sent_along(self) -> None:
        async def scenario(peer: Peer, owner: Owner) -> None:
            connection = await owner.connect(peer)
            peer.answers = lambda command: ECHO if command[0] == b"EVAL" else b"-NOSCRIPT No matching script.\r\n"
            assert await connection.ask(pack("EVALSHA", COMMIT_RECORD.sha, 0, "argument")) == b"echo"
            assert peer.writes[-1] == [[b"EVAL", COMMIT_RECORD.source.encode(), b"0", b"argument"]]
            with pytest.raises(StoreUnavailable, match="NOSCRIPT"):
                await connection.ask(pack("EVALSHA", "f" * 40, 0))
            connection.end("over")

        run(scenario)

    def test_beyond_the_limit_a_command_fails_at_once_and_the_others_are_unharmed(self) -> None:
        async def scenario(peer: Peer, owner: Owner) -> None:
            connection = await owner.connect(peer, max_in_flight=3)
            replies: list[Reply] = []
            for _ in range(5):
                connection.call(pack("GET", "x"), replies.append)
            assert [isinstance(reply, StoreUnavailable) for reply in replies] == [True, True]
            await until(lambda: len(replies) == 5)
            assert replies[2:] == [b"OK"] * 3
            connection.end("over")

        run(scenario)


class TestLoss:
    def test_what_is_under_way_fails_once_when_the_peer_hangs_up(self) -> None:
        async def scenario(peer: Peer, owner: Owner) -> None:
            connection = await owner.connect(peer)
            peer.answers = silent
            replies: list[Reply] = []
            for _ in range(3):
                connection.call(pack("GET", "x"), replies.append)
            await until(lambda: len(peer.writes) > 1)
            peer.hang_up()
            await until(lambda: len(replies) == 3)
            assert all(isinstance(reply, StoreUnavailable) for reply in replies)
            connection.end("again")
            assert len(owner.losses) == 1
            assert len(replies) == 3

        run(scenario)

    def test_a_late_reply_ends_it_even_if_the_replies_before_came(self) -> None:
        async def scenario(peer: Peer, owner: Owner) -> None:
            connection = await owner.connect(peer, timeout_s=0.2)
            peer.answers = lambda command: None if command[1] == b"late" else b"+OK\r\n"
            replies: list[Reply] = []
            begun = asyncio.get_running_loop().time()
            connection.call(pack("GET", "x"), replies.append)
            connection.call(pack("GET", "late"), replies.append)
            await until(lambda: len(replies) == 2)
            assert 0.19 < asyncio.get_running_loop().time() - begun < 1
            assert replies[0] == b"OK"
            assert "within 0.2 s" in str(replies[1])
            assert len(owner.losses) == 1

        run(scenario)

    def test_as_long_as_replies_come_in_time_a_busy_connection_lives_on(self) -> None:
        async def scenario(peer: Peer, owner: Owner) -> None:
            connection = await owner.connect(peer, timeout_s=0.1)
            loop = asyncio.get_running_loop()
            end = loop.time() + 0.5
            while loop.time() < end:
                assert await connection.ask(pack("GET", "x")) == b"OK"
                await asyncio.sleep(0.01)
            assert not owner.losses
            connection.end("over")

        run(scenario)

    def test_an_idle_connection_asks_whether_the_peer_is_there_and_ends_if_not(self) -> None:
        async def scenario(peer: Peer, owner: Owner) -> None:
            await owner.connect(peer, timeout_s=0.1)
            peer.writes.clear()
            await until(lambda: len(peer.writes) >= 2)
            assert peer.writes[0] == [[b"PING"]]
            assert not owner.losses
            peer.answers = silent
            await until(lambda: owner.losses)

        run(scenario)

    @pytest.mark.parametrize("noise", [b"+OK\r\n", b"HTTP/1.1 400\r\n", b":x\r\n"])
    def test_a_peer_that_talks_out_of_turn_or_another_language_is_left(self, noise: bytes) -> None:
        async def scenario(peer: Peer, owner: Owner) -> None:
            await owner.connect(peer)
            peer.say(noise)
            await until(lambda: owner.losses)
            assert "no reply" in owner.losses[0]

        run(scenario)

    def test_a_callback_that_ends_the_connection_takes_the_replies_after_it_along(self) -> None:
        async def scenario(peer: Peer, owner: Owner) -> None:
            connection = await owner.connect(peer)
            replies: list[Reply] = []
            connection.call(pack("GET", "x"), lambda reply: connection.end("over"))
            connection.call(pack("GET", "x"), replies.append)
            await until(lambda: replies)
            assert str(replies[0]) == "over"
            assert owner.losses == ["over"]

        run(scenario)


class TestConnect:
    def test_it_loads_the_scripts_and_waits_for_a_pong_in_one_write(self) -> None:
        async def scenario(peer: Peer, owner: Owner) -> None:
            target = Target(host="127.0.0.1", port=peer.port, user="me", password="pw", db=3)
            connection = await connect(target, LinkLimits(), owner.refused, owner.lost)
            (commands,) = peer.writes
            assert commands[:2] == [[b"AUTH", b"me", b"pw"], [b"SELECT", b"3"]]
            assert [command[:2] for command in commands[2:-1]] == [[b"SCRIPT", b"LOAD"]] * 3
            assert commands[-1] == [b"PING"]
            assert commands[2] == unpack(COMMIT_RECORD.load())
            connection.end("over")

        run(scenario)

    def test_a_password_alone_is_that_of_the_default_user(self) -> None:
        async def scenario(peer: Peer, owner: Owner) -> None:
            target = Target(host="127.0.0.1", port=peer.port, password="pw")
            connection = await connect(target, LinkLimits(), owner.refused, owner.lost)
            assert peer.writes[0][0] == [b"AUTH", b"pw"]
            connection.end("over")
            assert "pw" not in repr(target)

        run(scenario)

    @pytest.mark.parametrize("refused", [b"PING", b"SCRIPT"])
    def test_a_server_that_refuses_part_of_it_is_not_connected(self, refused: bytes) -> None:
        async def scenario(peer: Peer, owner: Owner) -> None:
            peer.answers = lambda command: b"-LOADING wait\r\n" if command[0] == refused else b"+OK\r\n"
            with pytest.raises(StoreUnavailable, match="LOADING"):
                await owner.connect(peer)

        run(scenario)

    def test_a_server_that_accepts_and_says_nothing_is_given_up_in_time(self) -> None:
        async def scenario(peer: Peer, owner: Owner) -> None:
            peer.answers = silent
            begun = asyncio.get_running_loop().time()
            with pytest.raises(StoreUnavailable, match=r"within 0\.1 s"):
                await owner.connect(peer, timeout_s=0.1)
            assert asyncio.get_running_loop().time() - begun < 1

        run(scenario)

    @pytest.mark.parametrize("role", [b"*1\r\n$5\r\nslave\r\n", b"*1\r\n$6\r\nmaster\r\n"])
    def test_where_it_must_be_a_master_a_replica_is_refused(self, role: bytes) -> None:
        async def scenario(peer: Peer, owner: Owner) -> None:
            peer.answers = lambda command: role if command[0] == b"ROLE" else b"+OK\r\n"
            target = Target(host="127.0.0.1", port=peer.port, must_be_master=True)
            if b"slave" in role:
                with pytest.raises(StoreUnavailable, match="replica"):
                    await connect(target, LinkLimits(), owner.refused, owner.lost)
            else:
                (await connect(target, LinkLimits(), owner.refused, owner.lost)).end("over")

        run(scenario)

    def test_a_host_that_is_none_and_a_port_where_nobody_listens_are_unavailable(self) -> None:
        async def course() -> None:
            owner = Owner()
            for target in (Target(host="." * 70, port=1), Target(host="127.0.0.1", port=1), Target(path="/nowhere/socket")):
                with pytest.raises(StoreUnavailable, match="cannot be asked"):
                    await connect(target, LinkLimits(), owner.refused, owner.lost)

        asyncio.run(course())
