"""How extensions take part in a REGISTER."""

from __future__ import annotations

import msgspec

from sipreg.errors import BadExtension
from sipreg.message.model import Request
from sipreg.registrar.hooks import SaveHook
from sipreg.registrar.model import ABSENT, Binding
from sipreg.registrar.registration import Registration
from sipreg.registrar.service import Accepted
from support.builders import CONTACT
from support.fake_store import Office

HERE = f"Contact: <{CONTACT}>;expires=600"


class Noting:
    """Adds its name wherever a hook may add something."""

    def __init__(self, name: str, *option_tags: str) -> None:
        self.option_tags = frozenset(option_tags)
        self._name = name

    def inspect(self, request: Request, registration: Registration) -> Registration:
        return msgspec.structs.replace(registration, attr=f"{registration.attr}{self._name}:{request.method};")

    def contact_params(self, registration: Registration, binding: Binding) -> str:
        return f";{self._name}={registration.cseq}-{len(binding.contact)}"

    def reply_headers(self, request: Request, registration: Registration) -> str:
        return f"X-{self._name}: {request.uri_text} {registration.cseq}\r\n"


class Refusing(Noting):
    """Refuses whatever it sees."""

    def inspect(self, request: Request, registration: Registration) -> Registration:
        raise BadExtension(("path",))


class TestSaveHooks:
    """Rules R-1 and R-10: hooks decide before anything is stored, and add to the 200 in the order in which they are listed."""

    def test_what_they_read_from_the_request_is_stored(self) -> None:
        office = Office(hooks=(Noting("a"), Noting("b")))
        office.ask(HERE)
        assert [binding.attr for binding in office.stored().bindings] == ["a:REGISTER;b:REGISTER;"]

    def test_they_add_to_each_contact_and_behind_the_contacts(self) -> None:
        outcome = Office(hooks=(Noting("a"), Noting("b"))).ask(HERE, "Contact: <sip:x@h>")
        assert isinstance(outcome, Accepted)
        assert outcome.headers == (
            f"Contact: <{CONTACT}>;expires=600;a=2-24;b=2-24, <sip:x@h>;expires=3600;a=2-7;b=2-7\r\n"
            "X-a: sip:example.com 2\r\nX-b: sip:example.com 2\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n"
        )

    def test_one_that_refuses_is_heard_before_anything_is_stored(self) -> None:
        office = Office(hooks=(Noting("a"), Refusing("b")))
        outcome = office.ask(HERE)
        assert isinstance(outcome, BadExtension)
        assert (outcome.status, outcome.headers) == (420, (("Unsupported", "path"),))
        assert (office.stored(), office.store.calls, office.counted) == (ABSENT, [], (0, 1))

    def test_the_registrar_has_the_extensions_of_all_its_hooks(self) -> None:
        hooks: tuple[SaveHook, ...] = (Noting("a", "path"), Noting("b", "gruu", "outbound"))
        assert Office(hooks=hooks).registrar.option_tags == {"path", "gruu", "outbound"}
        assert Office().registrar.option_tags == frozenset()
