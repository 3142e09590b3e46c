"""The shape of the tree: private names stay private, rooms stay small, files stay short.

What imports what is import-linter's matter (``[tool.importlinter]`` in pyproject.toml, run by ``scripts/test``).
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("bench", "model_zoo", "tasks")
FILES = sorted(p for top in (*PACKAGES, "tests", "scripts") for p in (ROOT / top).rglob("*.py"))
CATALOGUES = {"bench/finetune/methods", "bench/probe/literature"}  # one file per item
ROOMS = sorted({p.parent.relative_to(ROOT).as_posix() for p in (ROOT / "bench").glob("*/**/__init__.py")} - CATALOGUES)
MOST_LINES, MOST_ENTRIES = 400, 9


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _private_imports(path: Path) -> list[str]:
    """Uses of names that another module keeps to itself; a private folder is open to the package that holds it."""
    here, tree, found = _module(path), ast.parse(path.read_text(encoding="utf-8")), []
    modules = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or (node.module or "").partition(".")[0] not in PACKAGES:
            continue
        modules |= {alias.asname or alias.name for alias in node.names if alias.name.islower()}
        parts = node.module.split(".")
        for alias in node.names:
            if _is_private(alias.name) and node.module != here and not (ROOT / Path(*parts) / alias.name).is_dir():
                found.append(f"{node.lineno}: from {node.module} import {alias.name}")
        for depth, part in enumerate(parts):
            owner = ".".join(parts[:depth])
            if _is_private(part) and here.partition(".")[0] in PACKAGES and not here.startswith(owner):
                found.append(f"{node.lineno}: from {node.module} import …")
    for node in ast.walk(tree):
        of_module = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
        if of_module and _is_private(node.attr):
            found.append(f"{node.lineno}: {node.value.id}.{node.attr}")
    return found


@pytest.mark.long
def test_no_module_uses_another_s_private_names():
    wrong = [f"{path.relative_to(ROOT)}:{use}" for path in FILES for use in _private_imports(path)]
    assert not wrong, "\n".join(wrong)


def test_no_file_is_long():
    lines = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert not {str(path): n for path, n in lines.items() if n > MOST_LINES}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_seen_at_a_glance(room):
    room = ROOT / room
    entries = {p.name for p in room.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()} - {"__init__.py"}
    assert len(entries) <= MOST_ENTRIES, sorted(entries)
