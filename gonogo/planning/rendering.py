"""Jinja2 to SQL: sandboxed and strict, below one root. What a project wrote is rendered here, in a process of its own.

A value reaches SQL text only through `ident` or `literal` (psycopg's own quoting), or as a number or a boolean; a bare string is
refused. What Jinja2 would write without asking, the output of `{% filter %}` and of `{% call %}`, does not exist.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import FileSystemLoader, StrictUndefined, Template, TemplateNotFound, TemplateSyntaxError, UndefinedError, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from psycopg import ProgrammingError, sql

from gonogo.errors import BadInput, Problem

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


def unchanged_of(alias: str = "") -> Sql:
    """Mark where the undo of a batch says that only rows count which nobody changed since that batch."""
    return Sql(f"gonogo.unchanged({literal(alias)})")


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


def _as_it_is(value: object) -> object:
    return value


def _no_variable(value: object) -> object:
    """Keep a value from naming an environment variable: whoever gives an input must not read gonogo's own."""
    return str(value).replace("$", "$$")


#: what becomes of a value in each form of text
_FORMS: Mapping[str, Callable[[object], object]] = {"sql": _finalize, "words": _as_it_is, "request": _no_variable}


#: the words for the templates of a backfill
_MARKS: Mapping[str, object] = {
    "batch": batch_of(),
    "batch_of": batch_of,
    "unchanged": unchanged_of(),
    "unchanged_of": unchanged_of,
}


class Rendering:
    """The templates below some roots, as they become text.

    Args:
        roots: the folders that templates may lie in.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = tuple(roots)
        #: the files that were used
        self.used: set[str] = set()
        self._rounds = 0
        self._environment = _Environment(
            loader=_RootedLoader(self.roots),
            undefined=StrictUndefined,
            finalize=_finalize,
            autoescape=False,
            keep_trailing_newline=True,
        )
        self._environment.filters.update(ident=ident, literal=literal)
        self._environment.globals.clear()
        self._environment.globals["range"] = self._range
        self._environment.used = self.used

    def render(self, name: str, file: str, variables: Mapping[str, Any]) -> str:
        """Return the SQL of a template.

        Args:
            name: the template, below its root.
            file: its file, for messages.
            variables: the values.

        Raises:
            BadInput: a variable is missing, a value is bare, the syntax is wrong; with the template's line.
        """
        pieces, size = list[str](), 0
        self._rounds = 0
        try:
            template = self._environment.get_template(name)
            for piece in template.generate(**variables, **_MARKS):
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
            raise BadInput(Problem(file=where, line=line, message=f"template: {_why(error)}")) from None
        return "".join(pieces)

    def fill(self, text: str, variables: Mapping[str, Any], form: str) -> str:
        """Return a text that stands in the runbook itself, with its variables filled in.

        Args:
            text: the text.
            variables: the values.
            form: what the text is (`render_process.Form`).

        Raises:
            BadInput: a variable is missing, a value is bare in SQL, or the syntax is wrong.
        """
        self._rounds = 0
        try:
            made = str(self._environment.overlay(finalize=_FORMS[form]).from_string(text).render(**variables))
            if len(made) > MAX_RENDERED:
                raise SecurityError(f"it grows beyond {MAX_RENDERED:,} characters")
        except TemplateSyntaxError as error:
            raise BadInput(f"template syntax: {error.message}") from None
        except Exception as error:  # noqa: BLE001 - whatever it raises, it is the template that is wrong
            raise BadInput(f"template: {_why(error)}; to write braces that are not a template, use {{{{ '{{{{' }}}}") from None
        return made

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


def _why(error: Exception) -> str:
    return "it takes more memory than a template may" if isinstance(error, MemoryError) else str(error)


class _Generator(CodeGenerator):
    """Makes Python of a template, but not of the blocks whose output no `finalize` sees."""

    def visit_FilterBlock(self, node: nodes.FilterBlock, frame: Frame) -> NoReturn:  # noqa: ARG002, N802 - Jinja2's name
        self.fail("there is no {% filter %} here, for what it yields is not quoted; write {{ value | literal }}", node.lineno)

    def visit_CallBlock(self, node: nodes.CallBlock, frame: Frame) -> NoReturn:  # noqa: ARG002, N802 - Jinja2's name
        self.fail("there is no {% call %} here, for what it yields is not quoted; write {{ value | literal }}", node.lineno)


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox, in which only `ident` and `literal` make SQL."""

    code_generator_class = _Generator
    #: where the files of templates are noted, also of those that are included
    used: set[str]

    def get_template(self, *args: Any, **kwargs: Any) -> Template:
        """Return a template, and note its file."""
        found = super().get_template(*args, **kwargs)
        self.used.add(str(found.filename))
        return found

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Return the sandbox's own `str.format`: what it makes of SQL is text."""
        whose = getattr(value, "__self__", None)
        # the sandbox would make of it what it was made from
        return super().wrap_str_format(getattr(str(whose), value.__name__) if isinstance(whose, Sql) else value)


class _RootedLoader(FileSystemLoader):
    """Loads from the roots alone: no `..`, no symbolic links."""

    def __init__(self, roots: Sequence[Path]) -> None:
        super().__init__([str(root) for root in roots], encoding="utf-8-sig")
        self._roots = roots

    def get_source(self, environment: Any, template: str) -> Any:
        source, filename, uptodate = super().get_source(environment, template)
        file = Path(filename)
        if file.is_symlink() or not any(file.resolve().is_relative_to(root) for root in self._roots):
            raise TemplateNotFound(template)
        return source, filename, uptodate


__all__ = ["MAX_RENDERED", "Rendering", "Sql", "batch_of", "ident", "literal", "unchanged_of"]
