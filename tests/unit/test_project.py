"""The rules of the house that no ready-made tool checks, held against every source file."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from support.processes import ROOT, SOURCE_ROOTS

TESTS: Final = ROOT / "tests"
FUNCTION_LINES: Final = 60
"""A screen, docstring left out."""
FILE_LINES: Final = 420
TEST_FILE_LINES: Final = 500
"""Tables of cases are long, and read no worse for it."""

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def _files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(folder.rglob("*.py"))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _functions(path: Path) -> list[FunctionNode]:
    return [node for node in ast.walk(_tree(path)) if isinstance(node, FunctionNode)]


def _place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def _project() -> Mapping[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _called(node: ast.AST) -> Iterator[str]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            match call.func:
                case ast.Name(id=name) | ast.Attribute(attr=name):
                    yield name


def _asserts(function: FunctionNode, helpers: frozenset[str]) -> bool:
    """Tell whether a function can fail by itself, or calls one that can."""
    states = any(
        isinstance(node, ast.Assert) or (isinstance(node, ast.Raise) and "AssertionError" in ast.unparse(node))
        for node in ast.walk(function)
    )
    return states or any(name in helpers for name in _called(function))


def _asserting_helpers() -> frozenset[str]:
    """Return the names of the functions of tests and support which fail where something is wrong, directly or through others."""
    helpers = frozenset({"raises", "warns", "fail"})
    functions = [function for path in _files(TESTS) for function in _functions(path) if not function.name.startswith("test_")]
    while found := {function.name for function in functions if function.name not in helpers and _asserts(function, helpers)}:
        helpers |= found
    return helpers


def _code_lines(function: FunctionNode) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


class TestTests:
    """A test proves something, or it is not one."""

    def test_every_test_has_an_assertion(self) -> None:
        helpers = _asserting_helpers()
        tests = [(path, node) for path in _files(TESTS) for node in _functions(path) if node.name.startswith("test_")]
        assert tests
        assert [_place(path, node.lineno) for path, node in tests if not _asserts(node, helpers)] == []

    def test_a_test_that_only_runs_code_is_told_from_one_that_asserts(self) -> None:
        idle, busy, helped = ast.parse("def test_a():\n run()\ndef test_b():\n assert run()\ndef test_c():\n check(run())").body
        assert isinstance(idle, FunctionNode)
        assert isinstance(busy, FunctionNode)
        assert isinstance(helped, FunctionNode)
        helpers = frozenset({"check"})
        assert [_asserts(node, helpers) for node in (idle, busy, helped)] == [False, True, True]

    def test_test_folders_are_no_packages(self) -> None:
        assert [str(path) for path in TESTS.rglob("__init__.py")] == []

    def test_every_test_of_a_module_stands_where_the_module_does(self) -> None:
        unit = TESTS / "unit"
        modules = {
            path.relative_to(root).with_suffix("") for root in (*SOURCE_ROOTS, SOURCE_ROOTS[0] / "sipreg") for path in root.rglob("*.py")
        }
        folders = {module.parent for module in modules}
        strays = {path.parent.relative_to(unit) for path in unit.rglob("test_*.py")} - folders
        assert strays == set()


class TestSources:
    """What the style guide asks of every file."""

    def test_every_suppressed_warning_is_named_and_has_its_reason(self) -> None:
        mark = re.compile(r"#\s*(noqa|type:\s*ignore)\b")
        sound = re.compile(r"#\s*(noqa: [A-Z]+\d+(, ?[A-Z]+\d+)*|type: ignore\[[a-z, -]+\])\s+\S+.*\w")
        places = [
            _place(path, number)
            for path in _files(*SOURCE_ROOTS, TESTS)
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
            if mark.search(line) and 'r"#' not in line and not sound.search(line)
        ]
        assert places == []

    def test_no_function_is_longer_than_a_screen(self) -> None:
        long = [
            f"{_place(path, node.lineno)} {node.name}: {_code_lines(node)}"
            for path in _files(*SOURCE_ROOTS, TESTS)
            for node in _functions(path)
            if _code_lines(node) > FUNCTION_LINES
        ]
        assert long == []

    def test_no_file_has_more_than_one_subject_can_need(self) -> None:
        limits = {path: FILE_LINES for path in _files(*SOURCE_ROOTS)} | {path: TEST_FILE_LINES for path in _files(TESTS)}
        lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in limits}
        assert [f"{path.relative_to(ROOT)}: {lines[path]}" for path, limit in limits.items() if lines[path] > limit] == []

    def test_annotations_are_never_evaluated_at_import(self) -> None:
        plain = [path for path in _files(*SOURCE_ROOTS, TESTS) if _without_future_annotations(_tree(path))]
        assert [str(path.relative_to(ROOT)) for path in plain] == []


def _without_future_annotations(tree: ast.Module) -> bool:
    code = [node for node in tree.body if not isinstance(node, ast.Expr)]
    return bool(code) and not (isinstance(code[0], ast.ImportFrom) and code[0].module == "__future__")


class TestPackages:
    """What ships is what the settings of the tools speak of."""

    def test_source_roots_are_no_packages(self) -> None:
        assert [str(root) for root in SOURCE_ROOTS if (root / "__init__.py").exists()] == []

    def test_every_package_is_shipped_typed_and_in_the_import_contracts(self) -> None:
        project = _project()
        found = {path.parent for root in SOURCE_ROOTS for path in root.glob("*/__init__.py")}
        shipped = {ROOT / package for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
        assert found == shipped
        assert [str(package) for package in found if not (package / "py.typed").exists()] == []
        assert {package.name for package in found} == set(project["tool"]["importlinter"]["root_packages"])

    def test_every_part_of_the_core_has_its_layer(self) -> None:
        layers = _project()["tool"]["importlinter"]["contracts"][0]["layers"]
        ranked = {name.strip(" ()") for layer in layers for name in layer.split("|")}
        core = SOURCE_ROOTS[0] / "sipreg"
        parts = {path.stem for path in core.glob("*.py")} | {path.parent.name for path in core.glob("*/__init__.py")}
        assert {f"sipreg.{part}" for part in parts if part != "__init__"} - ranked == set()
