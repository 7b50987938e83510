"""Messages as files, one verdict each: odd ones that must pass and bad ones that must not (after RFC 4475 and RFC 5118)."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from sipreg.errors import BadMessage
from sipreg.message.auth import parse_digest
from sipreg.message.contact import Contact
from sipreg.message.framer import StreamFramer
from sipreg.message.model import Message, Request
from sipreg.message.parser import BadRequest, Unanswerable, parse_message
from sipreg.message.via import stamped
from sipreg.message.writer import message_bytes, response_bytes, response_head
from support.messages import parsed_response

HERE: Final = Path(__file__).parent
FILES: Final = {path.stem: path for path in sorted((HERE / "messages").iterdir())}
VERDICTS: Final[dict[str, dict[str, Any]]] = tomllib.loads((HERE / "verdicts.toml").read_text(encoding="utf-8"))


def named(verdict: str) -> list[str]:
    """Return the files with this verdict."""
    return [name for name, entry in VERDICTS.items() if entry["verdict"] == verdict]


def contacts(message: Message) -> list[Contact]:
    return [each for each in message.contacts if isinstance(each, Contact)]


#: What `has` may ask for.
VIEWS: Final[dict[str, Callable[[Any], object]]] = {
    "method": lambda message: message.method,
    "status": lambda message: message.status,
    "reason": lambda message: message.reason,
    "scheme": lambda message: message.uri.scheme,
    "user": lambda message: message.uri.user,
    "host": lambda message: message.uri.host,
    "to_uri": lambda message: message.to.uri,
    "to_tag": lambda message: message.to.tag,
    "from_tag": lambda message: message.from_.tag,
    "call_id": lambda message: message.call_id,
    "cseq": lambda message: message.cseq.number,
    "cseq_method": lambda message: message.cseq.method,
    "max_forwards": lambda message: message.max_forwards,
    "expires": lambda message: message.seconds("expires", "Expires"),
    "branch": lambda message: message.top_via[0].branch,
    "port": lambda message: message.top_via[0].port,
    "received": lambda message: message.top_via[0].received,
    "vias": lambda message: len(message.vias),
    "contacts": lambda message: [each.uri for each in contacts(message)],
    "contact_params": lambda message: [name for each in contacts(message) for name in each.params],
    "supported": lambda message: len(message.option_tags("supported")),
    "require": lambda message: message.option_tags("require"),
    "digest": lambda message: parse_digest(message.headers.get("authorization")) is not None,
    "body": lambda message: len(message.body),
}

PARTS: Final = ("top_via", "vias", "to", "from_", "call_id", "cseq", "contacts")


def answer_to(request: Request) -> Message:
    """Return the answer to a request, as its sender would read it."""
    via, text = request.top_via
    return parsed_response(response_bytes(200, "OK", response_head(request, "srv", stamped(text, via, "192.0.2.77", 7777))))


class TestTheTable:
    def test_every_file_has_its_verdict_and_every_verdict_its_file(self) -> None:
        assert FILES.keys() == VERDICTS.keys()
        assert sum(len(named(verdict)) for verdict in ("good", "part", "answered", "dropped")) == len(FILES) >= 50


class TestGoodMessages:
    @pytest.mark.parametrize("name", named("good") + named("part"))
    def test_what_a_message_says_is_understood(self, name: str) -> None:
        message = parse_message(FILES[name].read_bytes())
        expected = VERDICTS[name].get("has", {})
        assert {key: VIEWS[key](message) for key in expected} == expected

    @pytest.mark.parametrize("name", named("good"))
    def test_all_its_parts_parse(self, name: str) -> None:
        message = parse_message(FILES[name].read_bytes())
        for part in PARTS:
            assert getattr(message, part) is not None
        assert not isinstance(message, Request) or message.uri is not None

    @pytest.mark.parametrize("name", [name for name in named("good") if "status" not in VERDICTS[name].get("has", {})])
    def test_its_answer_finds_the_way_back(self, name: str) -> None:
        request = parse_message(FILES[name].read_bytes())
        assert isinstance(request, Request)
        answer = answer_to(request)
        assert (answer.cseq, answer.call_id, answer.from_) == (request.cseq, request.call_id, request.from_)
        assert answer.top_via[0].branch == request.top_via[0].branch
        assert answer.vias[1:] == request.vias[1:]
        assert answer.to.tag == (request.to.tag or "srv")

    @pytest.mark.parametrize("name", named("good") + named("part"))
    def test_it_comes_out_of_a_stream_as_it_came_out_of_a_datagram(self, name: str) -> None:
        message = parse_message(FILES[name].read_bytes())
        (framed,) = StreamFramer().feed(message_bytes(message))
        assert isinstance(framed, bytes)
        again = parse_message(framed)
        assert (list(again.headers)[:-1], again.body) == (
            [field for field in message.headers if field[0] not in ("Content-Length", "l")],
            message.body,
        )


class TestBadMessages:
    @pytest.mark.parametrize("name", named("part"))
    def test_a_bad_part_is_told_to_whoever_asks_for_it(self, name: str) -> None:
        message = parse_message(FILES[name].read_bytes())
        with pytest.raises(BadMessage):
            getattr(message, VERDICTS[name]["bad"])

    @pytest.mark.parametrize("name", named("answered"))
    def test_one_that_is_refused_is_told_so(self, name: str) -> None:
        with pytest.raises(BadRequest) as refused:
            parse_message(FILES[name].read_bytes())
        assert refused.value.status == VERDICTS[name]["status"]
        assert answer_to(refused.value.request).call_id == refused.value.request.call_id

    @pytest.mark.parametrize("name", named("dropped"))
    def test_one_that_makes_no_sense_is_not_answered(self, name: str) -> None:
        with pytest.raises(Unanswerable):
            parse_message(FILES[name].read_bytes())
