"""Commands that are imported when they are run, so that `--help` and `validate` answer at once.

A command is a function with its options, in a module of this room; the table in `app.py` says where, and in one
line what it does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

_SETTINGS = {"help_option_names": ["-h", "--help"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRow:
    """Where a command is, and what it does."""

    module: str
    function: str
    help: str
    #: the heading that it stands under
    panel: str = ""


def load(name: str, row: CommandRow) -> Any:
    """Import a command."""
    function = getattr(import_module(f"gonogo.cli.{row.module}"), row.function)
    single = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
    single.command(name, context_settings=_SETTINGS)(function)
    made = typer.main.get_command(single)
    made.name = name
    return made


class _Commands(MutableMapping[str, Any]):
    """The commands of a group, each imported when it is asked for."""

    def __init__(self, rows: Mapping[str, CommandRow]) -> None:
        self._rows, self._known = dict(rows), dict[str, Any]()

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = load(name, self._rows[name])
        return self._known[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._known[name] = command

    def __delitem__(self, name: str) -> None:
        del self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._rows, *self._known)))

    def __len__(self) -> int:
        return len(list(iter(self)))


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are run; its own help imports none of them."""

    # typer brings its own copy of click, which it does not export: what is of click has no type here

    rows: Mapping[str, CommandRow] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        commands = _Commands(self.rows)
        commands.update(self.commands)
        self.commands = commands
        self._listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the commands in the order of the table, then the groups."""
        del ctx
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; while help is written, only what help needs of it."""
        if self._listing and (row := self.rows.get(cmd_name)) is not None:
            return TyperCommand(cmd_name, help=row.help, rich_markup_mode="rich", rich_help_panel=row.panel or None)
        return super().get_command(ctx, cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the group from its table."""
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False


def group(table: Mapping[str, CommandRow]) -> type[LazyGroup]:
    """Return the class of a group with these commands."""
    return type("Group", (LazyGroup,), {"rows": table})
