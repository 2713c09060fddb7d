"""YAML to a runbook: safely, and with the line and column of every problem, all at once.

The YAML read here is a plain subset of 1.2: no tags, no dates, `yes` is text, `12:30` is text, `0123` is text.
Limits stand against files that are huge, deep, or explode through aliases.
"""

from __future__ import annotations

import difflib
import math
import re
import types
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gonogo.core.model.runbook import Runbook
from gonogo.core.model.step import SORTS
from gonogo.core.model.validate import find_problems
from gonogo.errors import BadInput, Problem
from gonogo.postgres.address import why_not_in_a_runbook

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
MAX_NODES = 50_000

Path_: TypeAlias = tuple[str | int, ...]
Marks: TypeAlias = dict[Path_, tuple[int, int]]
_Model = TypeVar("_Model", bound=BaseModel)

_PLAIN = (
    (re.compile(r"(?:null|Null|NULL|~|)"), lambda _: None),
    (re.compile(r"(?:true|True|TRUE)"), lambda _: True),
    (re.compile(r"(?:false|False|FALSE)"), lambda _: False),
    # a number longer than any is text
    (re.compile(r"[-+]?(?:0|[1-9][0-9]{0,300})"), int),
    (re.compile(r"[-+]?(?:0|[1-9][0-9]{0,300})\.[0-9]+(?:[eE][-+]?[0-9]+)?"), float),
)
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class WrongReferences(BadInput):
    """A runbook has the right form, and names what is not there, or what does not go together."""

    def __init__(self, runbook: Runbook, *problems: Problem) -> None:
        self.runbook = runbook
        super().__init__(*problems)


def load_runbook(file: Path) -> Runbook:
    """Read and check a runbook.

    Raises:
        BadInput: with every problem there is, each with its line and column.
    """
    return check_runbook(read_text(file), str(file))


def each_runbook(files: Iterable[Path]) -> Iterator[tuple[Path, Runbook | BadInput]]:
    """Read and check some runbooks: each is followed by what it says, or by what is wrong with it."""
    for file in files:
        try:
            yield file, load_runbook(file)
        except BadInput as error:
            yield file, error


def read_text(file: Path) -> str:
    """Read a text file of a bounded size.

    Raises:
        BadInput: it is missing, too large, or not UTF-8 text.
    """
    try:
        with file.open("rb") as opened:
            # what has no size, such as a device, may have no end either
            raw = opened.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise BadInput(Problem(file=str(file), message="there is no such file")) from None
    except OSError as error:
        raise BadInput(Problem(file=str(file), message=f"cannot be read: {error.strerror}")) from None
    if len(raw) > MAX_BYTES:
        raise BadInput(Problem(file=str(file), message=f"is larger than {MAX_BYTES:,} bytes: no runbook is"))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise BadInput(Problem(file=str(file), line=line, message="is not UTF-8 text; save it as UTF-8")) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise BadInput(Problem(file=str(file), line=line, message="contains a NUL byte; it is not a text file"))
    return text


def check_runbook(text: str, file: str) -> Runbook:
    """Check the text of a runbook and return its model.

    Raises:
        BadInput: with every problem there is.
    """
    data, marks, problems = parse_yaml(text, file)
    if not isinstance(data, dict):
        raise BadInput(*problems, Problem(file=file, line=1, message="a runbook is a mapping that begins with `runbook:`"))
    runbook = _checked(Runbook, data, marks, problems, file)
    problems += [_at(path, message, marks, file) for path, message in (*find_problems(runbook), *_addresses(runbook))]
    if problems:
        raise WrongReferences(runbook, *_sorted(problems))
    return runbook


def load_model(model: type[_Model], file: Path) -> _Model:
    """Read and check a YAML file that is no runbook.

    Args:
        model: what it must be.
        file: its path.

    Raises:
        BadInput: with every problem there is.
    """
    data, marks, problems = parse_yaml(read_text(file), str(file))
    found = _checked(model, data, marks, problems, str(file))
    if problems:
        raise BadInput(*_sorted(problems))
    return found


def _checked(model: type[_Model], data: object, marks: Marks, problems: list[Problem], file: str) -> _Model:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        details = [d for d in error.errors() if not (d["type"] == "too_short" and d["input"])]
        problems += [_problem(detail, marks, file, model) for detail in details]
        raise BadInput(*_sorted(problems)) from None


def _addresses(runbook: Runbook) -> Iterator[tuple[Path_, str]]:
    """Yield the addresses that may not stand in a runbook, and why."""
    for name, target in runbook.targets.items():
        copies = target.rehearse_on if isinstance(target.rehearse_on, str) else target.rehearse_on.ready
        for key, stated in (("database", target.database), ("direct", target.direct), ("rehearse_on", copies)):
            if stated and stated != "embedded" and not stated.startswith("$") and (why := why_not_in_a_runbook(stated)):
                yield ("targets", name, key), why


def parse_yaml(text: str, file: str) -> tuple[object, Marks, list[Problem]]:
    """Return the data of a YAML text, where each of its parts stands, and the duplicate keys it has.

    Raises:
        BadInput: it is not YAML, or beyond the limits.
    """
    try:
        _check_limits(text, file)
        node = yaml.compose(text, Loader=_PARSER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = " ".join(part for part in (error.context, error.problem) if part)
        raise BadInput(Problem(file=file, line=line, column=column, message=f"is not YAML: {what}")) from None
    except yaml.YAMLError as error:
        raise BadInput(Problem(file=file, message=f"is not YAML: {error}")) from None
    marks: Marks = {}
    problems: list[Problem] = []
    budget = iter(range(MAX_NODES))
    data = _construct(node, (), marks, problems, file, budget) if node is not None else None
    return data, marks, problems


def _check_limits(text: str, file: str) -> None:
    depth = documents = 0

    def refuse(event: Any, message: str) -> BadInput:
        mark = event.start_mark
        return BadInput(Problem(file=file, line=mark.line + 1, column=mark.column + 1, message=message))

    for event in yaml.parse(text, Loader=_PARSER):
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise refuse(event, "a second document begins here; a runbook is one")
        if getattr(event, "tag", None):
            raise refuse(event, f"the tag {getattr(event, 'tag', '')} is not used in runbooks; write plain values")
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            depth += 1
            if depth > MAX_DEPTH:
                raise refuse(event, f"is nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1


def _construct(node: yaml.Node, path: Path_, marks: Marks, problems: list[Problem], file: str, budget: Iterator[int]) -> object:
    here = (node.start_mark.line + 1, node.start_mark.column + 1)
    if next(budget, None) is None or len(path) > MAX_DEPTH:
        what = f"its aliases grow beyond {MAX_NODES:,} values" if len(path) <= MAX_DEPTH else "an alias holds itself"
        raise BadInput(Problem(file=file, line=here[0], column=here[1], message=what))
    marks.setdefault(path, here)
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item, (*path, i), marks, problems, file, budget) for i, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return _scalar(node)
    mapping: dict[object, object] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
        line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
        if not isinstance(key_node, yaml.ScalarNode):
            problems.append(Problem(file=file, line=line, column=column, message="a key is a plain word"))
        elif key in mapping:
            problems.append(
                Problem(file=file, line=line, column=column, path=say_path(path), message=f"the key {key!r} is given twice")
            )
        marks[(*path, key)] = (line, column)
        mapping[key] = _construct(value_node, (*path, key), marks, problems, file, budget)
    return mapping


def _scalar(node: yaml.Node) -> object:
    text = str(node.value)
    if not getattr(node, "style", ""):  # plain
        for pattern, make in _PLAIN:
            if pattern.fullmatch(text):
                value = make(text)
                return text if isinstance(value, float) and not math.isfinite(value) else value
    return text


def say_path(path: Path_) -> str:
    """Write a path as people do: `phases[0].tasks[1].takes`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def place(problems: Sequence[Problem], file: Path) -> list[Problem]:
    """Give problems that name a path of a runbook, but no line, the line and column where that stands."""
    _, marks, __ = parse_yaml(read_text(file), str(file))
    stands = {say_path(path): mark for path, mark in marks.items()}
    placed = []
    for problem in problems:
        path = problem.path
        while path and path not in stands:
            path = path.rpartition(".")[0]
        line, column = stands.get(path, (0, 0))
        here = problem.file == str(file) and not problem.line
        placed.append(replace(problem, line=line, column=column) if here else problem)
    return _sorted(placed)


def _at(path: Path_, message: str, marks: Marks, file: str) -> Problem:
    known = path
    while known and known not in marks:
        known = known[:-1]
    line, column = marks.get(known, (1, 1))
    return Problem(file=file, line=line, column=column, path=say_path(path), message=message)


def _sorted(problems: list[Problem]) -> list[Problem]:
    return sorted(dict.fromkeys(problems), key=lambda p: (p.line, p.column))


def _problem(detail: ErrorDetails, marks: Marks, file: str, whole: type[BaseModel]) -> Problem:
    # the two sorts of `undo` are no words of the runbook
    path = tuple(part for part in detail["loc"] if part not in ("[key]", *SORTS))
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return _at(path, _unknown_key(path, whole), marks, file)
    if kind == "missing":
        *parent, key = path
        return _at(tuple(parent), f"the key {key!r} is missing", marks, file)
    if kind in ("value_error", "assertion_error"):
        return _at(path, str(detail["ctx"]["error"]), marks, file)
    if kind == "string_pattern_mismatch":
        return _at(path, f"{value!r} is not a name here: write lower-case letters, digits, - and _, a letter first", marks, file)
    found = "nothing" if value is None else f"{value!r}" if isinstance(value, (str, int, float)) else type(value).__name__
    found = {"dict": "a mapping", "list": "a list"}.get(found, found if len(found) < 80 else found[:77] + "...")
    message = (detail["msg"][0].lower() + detail["msg"][1:]).replace("dictionary", "mapping").replace("tuple", "list")
    return _at(path, f"{message}; found {found}", marks, file)


def _unknown_key(path: Path_, whole: type[BaseModel]) -> str:
    model = _model_at(whole, path[:-1])
    known = list(model.model_fields) if model else []
    near = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    return f"the key {path[-1]!r} is not known here; {hint}"


def _model_at(annotation: object, path: Path_) -> type[BaseModel] | None:
    """Return the model that a path of a runbook leads to."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next((found for option in get_args(annotation) if (found := _model_at(option, path))), None)
    if get_origin(annotation) is Annotated:
        return _model_at(get_args(annotation)[0], path)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not path:
            return annotation
        field = annotation.model_fields.get(str(path[0]))
        return _model_at(field.annotation, path[1:]) if field else None
    arguments = get_args(annotation)
    return _model_at(arguments[-1] if get_origin(annotation) is dict else arguments[0], path[1:]) if arguments and path else None
