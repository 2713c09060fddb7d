"""From templates to scripts: rendered, split, classified; whatever is wrong with them is collected."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from gonogo import clock
from gonogo.core.model.check import Check
from gonogo.core.model.check_kinds import Http, Program
from gonogo.core.model.people import Approve, Item
from gonogo.core.model.program_text import code_from_input
from gonogo.core.model.rollback import Backup, Rehearsal
from gonogo.core.model.runbook import Runbook
from gonogo.core.plan.plan import Script
from gonogo.core.plan.seal import digest
from gonogo.errors import BadInput, Problem
from gonogo.planning.templates import Templates
from gonogo.sql.alone import BY_ACT
from gonogo.sql.locks import MODES
from gonogo.sql.parse import Statement, split

_Asked = TypeVar("_Asked", Approve, Item, Backup, Rehearsal)


@dataclass
class Draft:
    """A plan in the making, with all that is wrong so far."""

    runbook: Runbook
    file: Path
    templates: Templates
    variables: Mapping[str, Any]
    #: whether the target that is planned for is protected
    protected: bool = False
    #: its name
    target: str = ""
    #: when the run is planned to start
    begins: datetime = field(default_factory=clock.now)
    texts: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    #: the tables that the run itself makes
    made: set[str] = field(default_factory=set)
    #: the names of the steps
    names: set[str] = field(default_factory=set)
    #: the project's folder
    folder: Path = field(default_factory=Path)
    #: checks that nobody wrote: what a migration tool's own record says; and by phase, those of its gate and its verification
    checks: dict[str, Check] = field(default_factory=dict)
    #: by phase and table, what a migration tool's record will know of it
    recorded: dict[tuple[int, str], set[str]] = field(default_factory=dict)
    go_if: dict[int, list[str]] = field(default_factory=dict)
    verify: dict[int, list[str]] = field(default_factory=dict)

    #: the sha256 of the scripts that are for every target
    common: list[str] = field(default_factory=list)

    def named(self, name: str) -> str:
        """Return the name of a step, with a number where another step has it already."""
        made, number = name, 2
        while made in self.names:
            made, number = f"{name}-{number}", number + 1
        self.names.add(made)
        return made

    def here(self, parts: Iterable[_Asked | None]) -> tuple[_Asked, ...]:
        """Return what people are asked on the target that is planned for."""
        return tuple(part for part in parts if part is not None and (part.targets == "all" or self.protected))

    def on_target(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return those checks that are asked on the target that is planned for."""
        checks, target = self.runbook.checks, self.target
        return tuple(name for name in names if name not in checks or not checks[name].only_on or target in checks[name].only_on)

    def attempt(self, path: str, work: Any, *args: Any) -> Any:
        """Collect what is wrong with one part, so that all problems show at once."""
        try:
            return work(*args)
        except BadInput as error:
            for problem in error.problems:
                where = problem if problem.file else Problem(file=str(self.file), path=path, message=problem.message)
                self.problems.append(where)
            return None


def scripts(draft: Draft, path: str, patterns: Sequence[str]) -> tuple[list[Script], int]:
    """Render the templates that some names or globs mean; return their scripts and how many sources there are."""
    made: list[Script] = []
    sources = 0
    for pattern in patterns:
        for source in draft.attempt(path, draft.templates.find, pattern, draft.runbook.runbook) or ():
            text = draft.attempt(path, draft.templates.render, source, draft.variables)
            if text is not None:
                label = draft.templates.label(source, text)
                statements = draft.attempt(path, split, text, label)
                if statements is not None:
                    made += units(draft, source, label, text, statements, sources)
            sources += 1
    return made, sources


def units(draft: Draft, source: str, label: str, text: str, statements: list[Statement], part: int) -> list[Script]:
    """Return the scripts of one source: itself, or its statements where one of them must run alone."""
    if not statements:
        draft.problems.append(Problem(file=label, message="holds no SQL; a step that does nothing is a mistake"))
        return []
    if all(statement.transactional for statement in statements):
        sets = any(statement.sets for statement in statements)
        return [
            Script(
                source=source,
                sha256=_keep(draft, text),
                part=part,
                sets=sets,
                locks=_locks(draft, statements),
                destroys=_destroys(statements),
                needs=_needs(statements),
                shared=any(statement.shared for statement in statements),
            )
        ]
    for statement in statements:
        if statement.act and not statement.object and (message := BY_ACT[statement.act].needs_name):
            draft.problems.append(Problem(file=label, line=statement.line, message=message))
        if statement.sets:
            message = "SET in a script that runs statement by statement would not last to the next; put it in a script of its own"
            draft.problems.append(Problem(file=label, line=statement.line, message=message))
    return [
        Script(
            source=source,
            sha256=_keep(draft, statement.text),
            line=statement.line,
            part=part,
            transactional=statement.transactional,
            act=statement.act,
            object=statement.object,
            locks=_locks(draft, [statement]),
            destroys=_destroys([statement]),
            needs=_needs([statement]),
            shared=statement.shared,
        )
        for statement in statements
    ]


def _locks(draft: Draft, statements: Sequence[Statement]) -> tuple[str, ...]:
    """Return the strongest lock on each table, but for tables that the run itself makes: those block nobody."""
    draft.made.update(statement.makes for statement in statements if statement.makes)
    strongest: dict[str, str] = {}
    for statement in statements:
        for mode, table in statement.locks:
            if table not in draft.made:
                strongest[table] = max(strongest.get(table, mode), mode, key=MODES.index)
    return tuple(f"{mode} on {table}" for table, mode in strongest.items())


def _destroys(statements: Sequence[Statement]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(table for statement in statements for table in statement.destroys))


def _needs(statements: Sequence[Statement]) -> tuple[tuple[str, str], ...]:
    return tuple(dict.fromkeys(need for statement in statements for need in statement.needs))


def check_no_batch(draft: Draft, path: str, made: list[Script]) -> None:
    """See that scripts which are no batch do not say they are."""
    if any(mark in draft.texts[script.sha256] for script in made for mark in ("gonogo.batch(", "gonogo.unchanged(")):
        message = "{{ batch }} and {{ unchanged }} have a meaning in the templates of a backfill only"
        draft.problems.append(Problem(file=str(draft.file), path=path, message=message))


def check_batch(draft: Draft, path: str, made: list[Script], sources: int, *, back: bool = False) -> None:
    """See that a batch is one transactional script that says where its rows are; and its undo, which of them nobody changed."""
    if sources > 1:
        message = f"a batch is one template; these are {sources}"
        draft.problems.append(Problem(file=str(draft.file), path=path, message=message))
    for script in made:
        if not script.transactional:
            draft.problems.append(Problem(file=str(draft.file), path=path, message="a batch must be transactional"))
        elif "gonogo.batch(" not in draft.texts[script.sha256]:
            message = "the template of a batch must say WHERE {{ batch }}, or every batch would change the whole table"
            draft.problems.append(Problem(file=str(draft.file), path=path, message=message))
        elif back != ("gonogo.unchanged(" in draft.texts[script.sha256]):
            message = (
                "the undo of a batch must say AND {{ unchanged }}, or {{ unchanged_of('alias') }} of the table that it wrote:"
                " else it would take back what somebody wrote since"
                if back
                else "{{ unchanged }} has a meaning in the undo of a backfill only"
            )
            draft.problems.append(Problem(file=str(draft.file), path=path, message=message))


def own_check(draft: Draft, name: str, root: Path) -> Script | None:
    """Read the file of a check of the project's own; only this very file is ever run."""
    path, file = f"checks.{name}", Path("checks") / f"{draft.runbook.checks[name].own}.py"
    try:
        text = (root / file).read_text(encoding="utf-8")
    except OSError as error:
        message = f"the check of the project's own is read from {root / file}: {error.strerror}"
        draft.problems.append(Problem(file=str(draft.file), path=path, message=message))
        return None
    draft.templates.used.add(str(root / file))
    return Script(source=str(file), sha256=_keep(draft, text))


def question(draft: Draft, name: str, source: str, *, is_query: bool = True, is_call: bool = False) -> Script | None:
    """Render what a check asks with: one statement where it is a query, and no end of the transaction that takes a call back."""
    path = f"checks.{name}"
    found = draft.attempt(path, draft.templates.find, source, draft.runbook.runbook)
    if not found:
        return None
    text = draft.attempt(path, draft.templates.render, found[0], draft.variables)
    if text is None:
        return None
    if not is_query and re.search(r"(?im)^\s*\\(set)?shell\b", text):
        draft.problems.append(Problem(file=found[0], path=path, message="a pgbench script runs no shell here"))
    label = draft.templates.label(found[0], text)
    if is_query:
        read_query(draft, path, text, label)
    elif is_call and draft.attempt(path, split, text, label) == []:
        draft.problems.append(Problem(file=label, path=path, message="there is no statement in it"))
    return Script(source=found[0], sha256=_keep(draft, text))


def read_query(draft: Draft, path: str, text: str, label: str) -> None:
    """See that a text is one query."""
    statements = draft.attempt(path, split, text, label)
    if statements is not None and len(statements) != 1:
        message = f"a check is one query; this has {len(statements)} statements"
        draft.problems.append(Problem(file=label, path=path, message=message))


def query(draft: Draft, path: str, text: str) -> str:
    """Fill the templates in a query that stands in the runbook itself, and see that it is one query."""
    filled: str | None = draft.attempt(path, draft.templates.query, text, draft.variables)
    if filled is None:
        return text
    read_query(draft, path, filled, path)
    return filled


def external_script(draft: Draft, external: Program | Http) -> Script:
    """Return what stands for a program or a request where a script would: its line, and the digest over all that it is."""
    line = shlex.join(external.argv) if isinstance(external, Program) else f"{external.method} {external.url}"
    return Script(source=line, sha256=_keep(draft, external.model_dump_json()), transactional=False)


def request(draft: Draft, path: str, http: Http) -> Http:
    """Fill the templates in a request: in its address, its headers and the texts of its body."""
    url, *values = words(draft, path, (http.url, *http.headers.values()), names_variables=True)
    headers = dict(zip(http.headers, values, strict=True))
    return http.model_copy(update={"url": url, "headers": headers, "body": _body(draft, path, http.body)})


def _body(draft: Draft, path: str, body: Any) -> Any:
    if isinstance(body, str):
        return words(draft, path, (body,))[0]
    if isinstance(body, Mapping):
        return {name: _body(draft, path, value) for name, value in body.items()}
    return [_body(draft, path, value) for value in body] if isinstance(body, (list, tuple)) else body


def words(draft: Draft, path: str, texts: Sequence[str], *, names_variables: bool = False) -> tuple[str, ...]:
    """Fill the templates in some words that are no SQL: the arguments of a program, an address."""

    def fill(text: str) -> str:
        return draft.templates.words(text, draft.variables, names_variables=names_variables)

    return tuple(draft.attempt(path, fill, text) or "" for text in texts)


def program(draft: Draft, path: str, what: Program, argv: Sequence[str]) -> Program:
    """Return a program with its templates filled in; an input that would be program text is a problem."""
    if not what.inputs_in_code and (code := code_from_input(argv)):
        message = (
            f"{code!r}: an input would be program text here, so whoever gives it could run anything; hand it over as an argument,"
            ' [sh, -c, \'deploy "$1"\', sh, "{{ input }}"], or write inputs_in_code: true'
        )
        draft.problems.append(Problem(file=str(draft.file), path=path, message=message))
    filled = words(draft, path, tuple(argv))
    for given, word in zip(argv, filled, strict=True):
        # a program cannot tell an option that somebody gave as an input from one of the runbook's
        if given.startswith("{") and word.startswith("-") and not what.inputs_in_code:
            message = (
                f"{given!r} is {word!r} here, which is an option and no argument; write inputs_in_code: true if that is meant"
            )
            draft.problems.append(Problem(file=str(draft.file), path=path, message=message))
    return what.model_copy(update={"argv": filled})


def files_of(draft: Draft, what: object) -> list[str]:
    """Return the sha256 of each file of the project that the arguments of a program name: what it does is in there.

    Args:
        draft: whose project.
        what: a program, or something else, which names none.
    """
    if not isinstance(what, Program):
        return []
    found, top = list[str](), draft.folder.resolve()
    for word in what.argv:
        # what is no file's name may be anything
        with suppress(OSError, ValueError):
            file = (draft.folder / what.folder / word).resolve()
            if file.is_file() and file.is_relative_to(top):
                found.append(hashlib.sha256(file.read_bytes()).hexdigest())
    return found


def _keep(draft: Draft, text: str) -> str:
    sha256 = digest(text)
    draft.texts[sha256] = text
    return sha256
