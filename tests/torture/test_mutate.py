"""The generator of bad messages is worth its name."""

from __future__ import annotations

from sipreg.errors import BadMessage
from sipreg.message.parser import parse_message
from support.messages import some_messages
from torture.mutate import mutations


def parses(data: bytes) -> bool:
    try:
        parse_message(data)
    except BadMessage:
        return False
    return True


class TestMutations:
    def test_the_same_seed_gives_the_same_messages_and_another_gives_others(self) -> None:
        first, again, other = (list(mutations(some_messages(), 200, seed)) for seed in (7, 7, 8))
        assert first == again
        assert first != other

    def test_as_many_come_as_were_asked_for_and_each_fits_into_a_datagram(self) -> None:
        made = list(mutations(some_messages(), 1000, 3))
        assert len(made) == 1000
        assert max(map(len, made)) <= 65_000

    def test_hardly_any_is_what_it_was(self) -> None:
        good = set(some_messages())
        assert sum(data in good for data in mutations(some_messages(), 1000, 4)) < 50

    def test_some_pass_the_parser_and_some_do_not(self) -> None:
        passed = sum(map(parses, mutations(some_messages(), 1000, 5)))
        assert 150 < passed < 850

    def test_even_the_smallest_message_can_be_changed(self) -> None:
        assert len(list(mutations([b""], 300, 6))) == 300
        assert len(list(mutations([b"x"], 300, 6))) == 300
