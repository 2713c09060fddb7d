"""Templates that render. `.j2` files are templates; any other file is taken as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gonogo.errors import BadInput, Problem
from gonogo.planning import render_process
from gonogo.planning.sources import Library

#: a dollar, or a variable, that a value would lengthen
_DOLLAR = re.compile(r"\$\{?\w*\{[{%]")


class Templates(Library):
    """Templates that render."""

    def __init__(self, roots: Iterable[Path]) -> None:
        super().__init__(roots)
        #: how many lines each file has, as it was read
        self._lines: dict[str, int] = {}

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
        return self._rendered(render_process.Request(roots=self.roots, name=name, file=file, variables=variables))

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
        return self._fill(text, variables, "request" if names_variables else "words")

    def query(self, text: str, variables: Mapping[str, Any]) -> str:
        """Return SQL that stands in the runbook itself, with its variables filled in as those of a template are.

        Raises:
            BadInput: a variable is missing, a value is bare, or the syntax is wrong.
        """
        return self._fill(text, variables, "sql")

    def _fill(self, text: str, variables: Mapping[str, Any], form: render_process.Form) -> str:
        if "{{" not in text and "{%" not in text:
            return text
        return self._rendered(render_process.Request(roots=self.roots, text=text, form=form, variables=variables))

    def _rendered(self, request: render_process.Request) -> str:
        text, used = render_process.render(request)
        self.used |= used
        return text


__all__ = ["Templates"]
