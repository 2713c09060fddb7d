"""Jinja2 to SQL: sandboxed and strict, below one root.

`.j2` files are templates; any other file is taken as it is. A value reaches SQL text only through `ident`
or `literal` (psycopg's own quoting), or as a number or a boolean; a bare string is refused.
"""

from __future__ import annotations

import math
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, TemplateNotFound, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from psycopg import ProgrammingError, sql

from gonogo.errors import BadInput, Problem
from gonogo.planning.sources import Library

MAX_RENDERED = 5_000_000
#: how often all loops over numbers of one template may go round together
_MAX_ROUNDS = 100_000


class Sql(str):
    """Text that is SQL already: quoted by a filter, or made by one."""

    __slots__ = ()


def ident(value: object) -> Sql:
    """Quote an identifier; a list or a dotted pair becomes a qualified name."""
    parts = [str(p) for p in value] if isinstance(value, (list, tuple)) else [str(value)]
    for part in parts:
        if not part or "\0" in part:
            raise UndefinedError(f"{part!r} is not an identifier")
        if len(part.encode()) > 63:
            raise UndefinedError(f"the identifier {part!r} is longer than 63 bytes; PostgreSQL would cut it silently")
    return Sql(sql.Identifier(*parts).as_string(None))


def literal(value: object) -> Sql:
    """Quote a value; a list becomes a parenthesised list of values, for IN."""
    if isinstance(value, (list, tuple)):
        return Sql("(" + ", ".join(literal(item) for item in value) + ")")
    if isinstance(value, StrictUndefined):
        return literal(str(value))  # which says what is not defined
    if isinstance(value, str) and "\0" in value:
        raise UndefinedError("a value contains a NUL byte")
    try:
        return Sql(sql.Literal(value).as_string(None))
    except ProgrammingError:
        raise UndefinedError(f"a {type(value).__name__} cannot be written as a value of SQL") from None


def batch_of(alias: str = "") -> Sql:
    """Mark where a batch of a backfill puts its condition on the key."""
    return Sql(f"gonogo.batch({literal(alias)})")


def _finalize(value: object) -> object:
    if isinstance(value, (Sql, bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        if isinstance(value, bool):
            return str(value).lower()
        # as psycopg does: `a -{{ n }}` must not begin a comment
        return f" {value}" if isinstance(value, (int, float)) and value < 0 else value
    if isinstance(value, StrictUndefined):
        return value
    shown = type(value).__name__
    raise UndefinedError(f"a bare {shown} in SQL text; pass it through `| ident` or `| literal`")


#: a dollar, or a variable, that a value would lengthen
_DOLLAR = re.compile(r"\$\{?\w*\{[{%]")


def _as_it_is(value: object) -> object:
    return value


def _no_variable(value: object) -> object:
    """Keep a value from naming an environment variable: whoever gives an input must not read gonogo's own."""
    return str(value).replace("$", "$$")


class Templates(Library):
    """Templates that render."""

    def __init__(self, roots: Iterable[Path]) -> None:
        super().__init__(roots)
        self._environment: ImmutableSandboxedEnvironment | None = None
        #: how many lines each file has, as it was read
        self._lines: dict[str, int] = {}
        self._rounds = 0

    def label(self, name: str, text: str) -> str:
        """Return how messages name a template: its lines are those of its SQL only where rendering adds and drops none."""
        file = self.file(name)
        same = text.count("\n") == self._lines.get(file)
        return file if same else f"{file} (rendered)"

    def render(self, name: str, variables: Mapping[str, Any]) -> str:
        """Return the SQL of a template.

        Raises:
            BadInput: a variable is missing, a value is bare, the syntax is wrong; with the template's line.
        """
        file = self.file(name)
        self.used.add(file)
        try:
            source = Path(file).read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError:
            raise BadInput(Problem(file=file, message="is not UTF-8 text; save it as UTF-8")) from None
        except OSError as error:
            raise BadInput(Problem(file=file, message=f"cannot be read: {error.strerror}")) from None
        if "\0" in source:
            line = source[: source.index("\0")].count("\n") + 1
            raise BadInput(Problem(file=file, line=line, message="contains a NUL byte, which would cut the SQL silently"))
        self._lines[file] = source.count("\n")
        if not name.endswith(".j2"):
            return source
        return self._render_jinja(name, file, variables)

    def _render_jinja(self, name: str, file: str, variables: Mapping[str, Any]) -> str:
        pieces, size = [], 0
        self._rounds = 0
        try:
            template = self._jinja().get_template(name)
            for piece in template.generate(**variables, batch=batch_of(), batch_of=batch_of):
                size += len(piece)
                if size > MAX_RENDERED:
                    raise SecurityError(f"it grows beyond {MAX_RENDERED:,} characters")
                pieces.append(piece)
        except TemplateNotFound as error:
            raise BadInput(Problem(file=file, message=f"includes {error.name!r}, which is not there")) from None
        except TemplateSyntaxError as error:
            where = error.filename or file
            raise BadInput(Problem(file=where, line=error.lineno, message=f"template syntax: {error.message}")) from None
        except Exception as error:  # noqa: BLE001 - whatever it raises, it is the template that is wrong
            where, line = self._line_of(error, file)
            raise BadInput(Problem(file=where, line=line, message=f"template: {error}")) from None
        return "".join(pieces)

    def words(self, text: str, variables: Mapping[str, Any], *, names_variables: bool = False) -> str:
        """Return a text that is no SQL, with its variables filled in as they are.

        Args:
            text: the text.
            variables: the values.
            names_variables: whether `$NAME` in the text stands for an environment variable: in a value it does not.

        Raises:
            BadInput: a variable is missing, or the syntax is wrong.
        """
        if names_variables and (found := _DOLLAR.search(text)):
            raise BadInput(
                f"{found[0]!r}: a variable's name ends before a template, so that a value could name another variable;"
                " write a / or another sign between them"
            )
        return self._fill(text, variables, _no_variable if names_variables else _as_it_is)

    def query(self, text: str, variables: Mapping[str, Any]) -> str:
        """Return SQL that stands in the runbook itself, with its variables filled in as those of a template are.

        Raises:
            BadInput: a variable is missing, a value is bare, or the syntax is wrong.
        """
        return self._fill(text, variables, _finalize)

    def _fill(self, text: str, variables: Mapping[str, Any], finalize: Callable[[object], object]) -> str:
        if "{{" not in text and "{%" not in text:
            return text
        self._rounds = 0
        try:
            return str(self._jinja().overlay(finalize=finalize).from_string(text).render(**variables))
        except TemplateSyntaxError as error:
            raise BadInput(f"template syntax: {error.message}") from None
        except Exception as error:  # noqa: BLE001 - whatever it raises, it is the template that is wrong
            raise BadInput(f"template: {error}; to write braces that are not a template, use {{{{ '{{{{' }}}}") from None

    def _line_of(self, error: BaseException, file: str) -> tuple[str, int]:
        frames = traceback.extract_tb(error.__traceback__)
        for frame in reversed(frames):
            if any(Path(frame.filename).is_relative_to(root) for root in self.roots):
                self.used.add(frame.filename)
                return frame.filename, frame.lineno or 0
        return file, 0

    def _range(self, *args: int) -> range:
        """Count over numbers; all loops of a template together have a limit, so that nested ones end too."""
        made = range(*args)
        self._rounds += len(made)
        if self._rounds > _MAX_ROUNDS:
            raise SecurityError(f"its loops go round more than {_MAX_ROUNDS:,} times")
        return made

    def _jinja(self) -> ImmutableSandboxedEnvironment:
        if self._environment is None:
            self._environment = ImmutableSandboxedEnvironment(
                loader=_RootedLoader(self),
                undefined=StrictUndefined,
                finalize=_finalize,
                autoescape=False,
                keep_trailing_newline=True,
            )
            self._environment.filters.update(ident=ident, literal=literal)
            self._environment.globals.clear()
            self._environment.globals["range"] = self._range
        return self._environment


class _RootedLoader(FileSystemLoader):
    """Loads from the roots alone: no `..`, no symbolic links; remembers what was included."""

    def __init__(self, templates: Templates) -> None:
        super().__init__([str(root) for root in templates.roots], encoding="utf-8-sig")
        self._templates = templates

    def get_source(self, environment: Any, template: str) -> Any:
        source, filename, uptodate = super().get_source(environment, template)
        file = Path(filename)
        if file.is_symlink() or not any(file.resolve().is_relative_to(root) for root in self._templates.roots):
            raise TemplateNotFound(template)
        self._templates.used.add(filename)
        return source, filename, uptodate


__all__ = ["Sql", "Templates", "batch_of", "ident", "literal"]
