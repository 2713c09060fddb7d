"""What the code's shape is, in figures: rooms, arrows between them, circles, hidden imports, long files, functions, records.

`just house` prints them; `tests/unit/test_house.py` holds them.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
PACKAGES = ("gonogo", "flows", "checks")
LONG_FILE, LONG_FUNCTION, LARGE_RECORD = 400, 40, 25


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The figures."""

    modules: int
    rooms: int
    #: from one room to another
    arrows: int
    #: each a list of modules that import one another, for types only or from inside functions too
    circles: list[list[str]]
    #: imports that only a type checker makes, and imports inside functions
    type_only: list[str]
    lazy: list[str]
    #: with their lines, or fields; docstrings are not counted
    long_files: dict[str, int]
    long_functions: dict[str, int]
    #: by their own fields, and with those that they inherit
    large_records: dict[str, int]
    large_with_inherited: dict[str, int]


def measure(root: Path = ROOT) -> Shape:
    """Measure a checkout.

    Args:
        root: its folder; its packages must be importable.
    """
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    visible = grimp.build_graph(*PACKAGES, cache_dir=None, exclude_type_checking_imports=True)
    imports = {(a, b) for a in graph.modules for b in graph.find_modules_directly_imported_by(a)}
    shown = {(a, b) for a in visible.modules for b in visible.find_modules_directly_imported_by(a)}
    files = {file.relative_to(root).as_posix(): file.read_text(encoding="utf-8") for file in _files(root)}
    trees = {name: ast.parse(text) for name, text in files.items()}
    functions = {f"{name}:{f.lineno} {f.name}": _lines(f) for name, tree in trees.items() for f in _functions(tree)}
    records = {f"{name} {c.name}": _fields(c) for name, tree in trees.items() for c in _classes(tree)}
    return Shape(
        modules=len(files),
        rooms=len({_room(module) for module in graph.modules}),
        arrows=len({(_room(a), _room(b)) for a, b in imports if _room(a) != _room(b)}),
        circles=sorted(_circles(imports)),
        type_only=sorted(f"{a} -> {b}" for a, b in imports - shown),
        lazy=sorted(f"{name}:{line}" for name, tree in trees.items() for line in _lazy(tree)),
        long_files={name: n for name, text in files.items() if (n := text.count("\n")) > LONG_FILE},
        long_functions={name: n for name, n in functions.items() if n > LONG_FUNCTION},
        large_records={name: n for name, n in records.items() if n > LARGE_RECORD},
        large_with_inherited=_with_inherited(trees.values()),
    )


def _files(root: Path) -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((root / package).rglob("*.py"))


def _room(module: str) -> str:
    return module if (ROOT / module.replace(".", "/")).is_dir() else module.rpartition(".")[0] or module


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _classes(tree: ast.AST) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines without its docstring, and without the functions in it."""
    doc = function.body[0] if ast.get_docstring(function, clean=False) is not None else None
    inner = [node for node in ast.walk(function) if node is not function and isinstance(node, ast.FunctionDef)]
    spans = [function, *([doc] if doc else []), *inner]
    whole, *less = ((node.end_lineno or 0) - node.lineno + 1 for node in spans)
    return whole - sum(less)


def _fields(record: ast.ClassDef) -> int:
    return sum(isinstance(node, ast.AnnAssign) and "ClassVar" not in ast.dump(node.annotation) for node in record.body)


def _with_inherited(trees: Iterable[ast.AST]) -> dict[str, int]:
    """Return the records that are large with the fields of the classes that they are made from, by name."""
    classes = {record.name: record for tree in trees for record in _classes(tree)}

    def count(name: str, seen: tuple[str, ...] = ()) -> int:
        record = classes.get(name)
        if record is None or name in seen:
            return 0
        bases = [base.id for base in record.bases if isinstance(base, ast.Name)]
        return _fields(record) + sum(count(base, (*seen, name)) for base in bases)

    return {name: n for name in sorted(classes) if (n := count(name)) > LARGE_RECORD}


def _lazy(tree: ast.Module) -> Iterator[int]:
    for function in _functions(tree):
        yield from (node.lineno for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom))


def _circles(imports: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return the modules that are in some circle, or hang between two of them."""
    reaches: dict[str, set[str]] = {}
    for a, b in imports:
        reaches.setdefault(a, set()).add(b)
        reaches.setdefault(b, set())
    while True:
        # whatever imports nothing that is left, or is imported by nothing that is left, is in no circle
        imported = set().union(*reaches.values()) if reaches else set()
        loose = {module for module, found in reaches.items() if not found or module not in imported}
        if not loose:
            break
        reaches = {module: found - loose for module, found in reaches.items() if module not in loose}
    return [sorted(reaches)] if reaches else []


def main() -> None:
    """Print the figures, as text or as JSON."""
    shape = measure()
    if "--json" in sys.argv:
        print(json.dumps(asdict(shape), indent=2))
        return
    for name, value in asdict(shape).items():
        shown = str(len(value)) if isinstance(value, list | dict) else str(value)
        print(f"{name.replace('_', ' '):<16}{shown}")
        for line in value.items() if isinstance(value, dict) else value if isinstance(value, list) and name != "lazy" else ():
            print(f"    {line}")


if __name__ == "__main__":
    main()
