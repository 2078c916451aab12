"""The core imports the standard library's value modules and itself, and nothing that acts."""

import ast
from collections.abc import Iterator
from pathlib import Path

import unisono.core

ALLOWED = {"bisect", "collections", "dataclasses", "enum", "functools", "itertools", "math"}
ALLOWED |= {"json", "typing", "unisono.core"}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."


def test_the_core_imports_only_what_has_no_effect() -> None:
    (room,) = unisono.core.__path__
    modules = list(Path(room).rglob("*.py"))
    assert len(modules) > 10
    for path in modules:
        for name in imported(path):
            known = ALLOWED & {name, name.split(".")[0], ".".join(name.split(".")[:2])}
            assert known, f"{path.name} imports {name}"
