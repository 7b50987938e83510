"""Settings: where they come from, which source wins, and what is said of a wrong one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sipreg.errors import SettingWrong
from sipreg.registrar.parameters import Matching, Parameters, TooBrief
from sipreg.settings import HttpAddress, ListenAddress, RegistrarSection, Settings, Values, load_settings


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SIPREG_")]:
        monkeypatch.delenv(name)


def load(overrides: Values | None = None, defaults: Values | None = None, config: Path | None = None) -> Settings:
    return load_settings(config, overrides or {}, defaults or {})


def a_file(folder: Path, text: str) -> Path:
    file = folder / "sipreg.toml"
    file.write_text(text)
    return file


class TestSources:
    """The command line wins over the environment, that over the file, and that over what the role takes by itself."""

    def test_nothing_need_be_set(self) -> None:
        settings = load()
        assert (settings.registrar.default_expires, settings.auth.mode, settings.store.url) == (3600, "digest", "embedded")
        assert settings.registrar.parameters() == Parameters()

    def test_each_source_wins_over_the_next(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        defaults: Values = {"registrar": {"min_expires": 1, "max_expires": 4000, "default_expires": 4, "retry_after": 5}}
        config = a_file(tmp_path, "[registrar]\nmin_expires = 2\nmax_expires = 4001\ndefault_expires = 6\n")
        monkeypatch.setenv("SIPREG_REGISTRAR__MIN_EXPIRES", "3")
        monkeypatch.setenv("SIPREG_REGISTRAR__MAX_EXPIRES", "4002")
        found = load({"registrar": {"min_expires": 7}}, defaults, config).registrar
        assert (found.min_expires, found.max_expires, found.default_expires, found.retry_after) == (7, 4002, 6, 5)

    def test_a_command_line_that_says_nothing_of_a_section_leaves_it_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SIPREG_EDGE__WORKERS", "3")
        assert load({"edge": {}}).edge.workers == 3

    def test_lists_stand_in_the_environment_with_commas(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SIPREG_REGISTRAR__DOMAINS", "A.example, b.example")
        monkeypatch.setenv("SIPREG_EDGE__LISTEN", "udp:127.0.0.1:5060,TCP:[::1]:5061")
        monkeypatch.setenv("SIPREG_AUTH__ALGORITHMS", "md5")
        settings = load()
        assert settings.registrar.domains == ("a.example", "b.example")
        assert [str(address) for address in settings.edge.listen] == ["udp:127.0.0.1:5060", "tcp:[::1]:5061"]
        assert settings.auth.algorithms == ("MD5",)

    def test_lists_stand_in_the_file_as_lists(self, tmp_path: Path) -> None:
        config = a_file(tmp_path, '[registrar]\ndomains = ["a.example", "[2001:DB8::1]"]\n[edge]\nlisten = ["udp:0.0.0.0:5060"]\n')
        settings = load(config=config)
        assert settings.registrar.domains == ("a.example", "[2001:db8::1]")
        assert settings.edge.listen == (ListenAddress(transport="udp", host="0.0.0.0", port=5060),)

    def test_they_do_not_change_once_they_are_read(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            setattr(load().registrar, "min_expires", 5)  # noqa: B010 (an assignment would be refused by the type checker already)


class TestRegistrarParameters:
    """The parameters of the specification, as the registrar takes them."""

    @pytest.mark.parametrize(
        ("mode", "matching"),
        [("contact", Matching()), ("contact-callid", Matching(call_id=True)), ("<Line>", Matching(param="line"))],
    )
    def test_the_matching_mode_is_one_of_three(self, mode: str, matching: Matching) -> None:
        assert RegistrarSection(matching_mode=mode).parameters().matching == matching

    def test_every_other_parameter_is_handed_on_under_its_name(self) -> None:
        section = RegistrarSection(too_brief=TooBrief.REFUSE, max_contacts=3, realm_prefix="sip.", use_domain=False, cseq_delay=7)
        parameters = section.parameters()
        names = [name for name in Parameters.__dataclass_fields__ if name != "matching"]
        assert [getattr(parameters, name) for name in names] == [getattr(section, name) for name in names]
        assert (parameters.too_brief, parameters.max_contacts, parameters.use_domain) == (TooBrief.REFUSE, 3, False)


class TestAddresses:
    """Where to listen, as text."""

    def test_an_http_address_knows_whether_others_reach_it(self) -> None:
        assert HttpAddress(host="127.0.0.9", port=1).is_loopback
        assert HttpAddress(host="::1", port=1).is_loopback
        assert not HttpAddress(host="0.0.0.0", port=1).is_loopback

    def test_an_ipv6_address_is_written_in_brackets(self) -> None:
        settings = load({"api": {"http": "[::1]:8080"}, "edge": {"http": "127.0.0.1:1"}})
        assert (str(settings.api.http), settings.api.http.host, str(settings.edge.http)) == ("[::1]:8080", "::1", "127.0.0.1:1")


NAMES = "must be host names or addresses, IPv6 in brackets, without a port"
WRONG = [
    ({"edge": {"workers": 0}}, "edge.workers = 0: Input should be greater than or equal to 1"),
    (
        {"edge": {"listen": ("udp:127.0.0.1:5060", "sctp:h:1")}},
        "edge.listen.1 = 'sctp:h:1': must be TRANSPORT:HOST:PORT with one of udp, tcp",
    ),
    ({"edge": {"listen": ("udp:127.0.0.1",)}}, "edge.listen.0 = 'udp:127.0.0.1': must end in :PORT, 0 to 65535"),
    ({"edge": {"listen": ("udp:127.0.0.1:65536",)}}, "edge.listen.0 = 'udp:127.0.0.1:65536': must end in :PORT, 0 to 65535"),
    ({"edge": {"listen": ("udp:localhost:1",)}}, "edge.listen.0 = 'udp:localhost:1': the host must be an IP address, IPv6 in brackets"),
    ({"edge": {"node_id": ""}}, "edge.node_id = '': String should match pattern '^[A-Za-z0-9._\\-]{1,64}$'"),
    ({"edge": {"colour": 1}}, "edge.colour: there is no such setting"),
    ({"colours": {"red": 1}}, "colours: there is no such setting"),
    ({"registrar": {"domains": ("a b",)}}, f"registrar.domains = ('a b',): {NAMES}"),
    ({"registrar": {"domains": ("a:5060",)}}, f"registrar.domains = ('a:5060',): {NAMES}"),
    ({"registrar": {"max_expires": 5}}, "registrar.max_expires = 5: must be 0, or at least min_expires, which is 60"),
    (
        {"registrar": {"matching_mode": "<>"}},
        "registrar.matching_mode = '<>': must be contact, contact-callid or <name of a URI parameter>",
    ),
    ({"registrar": {"too_brief": "shrug"}}, "registrar.too_brief = 'shrug': Input should be 'raise' or 'refuse'"),
    ({"auth": {"algorithms": "MD5,MD5"}}, "auth.algorithms = 'MD5,MD5': must list MD5 and SHA-256, or one of them, once each"),
    ({"auth": {"mode": "maybe"}}, "auth.mode = 'maybe': Input should be 'digest' or 'off'"),
    ({"api": {"http": "0.0.0.0:80"}}, "api.http = '0.0.0.0:80': must be a loopback address unless api.token is set"),
    ({"log": {"level": "loud"}}, "log.level = 'loud': Input should be 'debug', 'info', 'warning' or 'error'"),
]


class TestWrongSettings:
    """One line for each: its name, its value, what is allowed."""

    @pytest.mark.parametrize(("overrides", "line"), WRONG, ids=[line.partition(":")[0] for _, line in WRONG])
    def test_it_is_named_with_its_value_and_what_is_allowed(self, overrides: Values, line: str) -> None:
        with pytest.raises(SettingWrong) as wrong:
            load(overrides)
        assert str(wrong.value) == line

    def test_all_that_are_wrong_are_told_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SIPREG_EDGE__DRAIN_S", "long")
        with pytest.raises(SettingWrong) as wrong:
            load({"edge": {"workers": -1}})
        assert sorted(line.partition(" ")[0] for line in str(wrong.value).splitlines()) == ["edge.drain_s", "edge.workers"]

    @pytest.mark.parametrize(
        "url", ["redis://user:hush@host:port", "redis://:hush@", "rediss://user:hush@a,b", "hush@nowhere", "redis://a/b?password=hush"]
    )
    def test_a_password_in_a_wrong_address_of_the_store_is_not_told(self, url: str) -> None:
        with pytest.raises(SettingWrong) as wrong:
            load({"store": {"url": url}})
        assert str(wrong.value).startswith("store.url: ")
        assert "hush" not in str(wrong.value)

    def test_a_token_is_never_shown(self) -> None:
        assert "hush" not in repr(load({"api": {"token": "hush"}}))
        with pytest.raises(SettingWrong) as wrong:
            load({"api": {"token": ["hush"]}})
        assert "hush" not in str(wrong.value)

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SettingWrong, match=r"^--config .*/nothing\.toml: no such file$"):
            load(config=tmp_path / "nothing.toml")

    @pytest.mark.parametrize("text", ["[edge", "edge = {", "\0"])
    def test_a_file_that_is_no_toml_is_named_with_the_place(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(SettingWrong, match=r"^--config .*/sipreg\.toml: not TOML: .+ \(at "):
            load(config=a_file(tmp_path, text))

    def test_a_section_that_is_no_section_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SettingWrong, match=r"^edge = 3: "):
            load(config=a_file(tmp_path, "edge = 3"))
