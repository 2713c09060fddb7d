"""Liquibase's formatted SQL: changesets with their rollbacks, in files that are read in the order of their names.

The form is that of https://docs.liquibase.com/concepts/changelogs/sql-format.html. What a changelog in XML, YAML or JSON says, in
what order files come among it, is not read, and named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gonogo.errors import BadInput
from gonogo.migrations.changes import Change, Migrations, Piece, text_of, unwrapped

_FORMATTED = re.compile(r"\A\s*--\s*liquibase\s+formatted\s+sql\b", re.IGNORECASE)
_CHANGESET = re.compile(r"^--\s*changeset\s+(\S+?):(\S+)[ \t]*(.*)$", re.IGNORECASE | re.MULTILINE)
_ROLLBACK = re.compile(r"^--\s*rollback\b[ \t]*(.*)$", re.IGNORECASE | re.MULTILINE)
_LONG_ROLLBACK = re.compile(r"/\*\s*(?:liquibase\s+)?rollback\b(.*?)\*/", re.IGNORECASE | re.DOTALL)
_NOTHING = re.compile(r"(empty|not required)\s*", re.IGNORECASE)
_OF_ANOTHER = re.compile(r"changesetid:", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"(\w+):(\"[^\"]*\"|\S+)")
_CHANGELOGS = ("*.xml", "*.yaml", "*.yml", "*.json")


def liquibase(folder: Path) -> Migrations | None:
    """Read a folder of formatted SQL.

    Raises:
        BadInput: something in it is not understood.
    """
    found = Migrations(form="Liquibase")
    for file in sorted(folder.rglob("*.sql")):
        text = text_of(file)
        if _FORMATTED.match(text):
            found.changes += _changesets(file, text, found)
    if found.changes:
        for pattern in _CHANGELOGS:
            for file in sorted(folder.rglob(pattern)):
                if "databaseChangeLog" in text_of(file):
                    found.left_out.append((file, "a changelog that is not SQL: the files are read in the order of their names"))
    return found


def _changesets(file: Path, text: str, found: Migrations) -> Iterator[Change]:
    marks = list(_CHANGESET.finditer(text))
    for number, mark in enumerate(marks):
        author, name, more = mark.groups()
        end = marks[number + 1].start() if number + 1 < len(marks) else len(text)
        line = text[: mark.start()].count("\n") + 1
        attributes = {key.lower(): value.strip('"') for key, value in _ATTRIBUTE.findall(more)}
        if (delimiter := attributes.get("enddelimiter", ";")) != ";":
            raise BadInput(f"{file}:{line}: endDelimiter {delimiter!r} is not read: end statements with a semicolon")
        of = [each.strip() for each in attributes.get("dbms", "postgresql").split(",")]
        if not {"postgresql", "all"} & set(of):
            found.left_out.append((file, f"changeset {author}:{name} is for {', '.join(of)}"))
            continue
        if "context" in attributes or "contextfilter" in attributes:
            which = attributes.get("context") or attributes["contextfilter"]
            found.left_out.append((file, f"changeset {author}:{name} is read, though it is only for the context {which}"))
        yield _change(file, author, name, text[mark.end() : end], line)


def _change(file: Path, author: str, name: str, body: str, line: int) -> Change:
    back: list[Piece] = []
    nothing = False

    def take(found: re.Match[str]) -> str:
        nonlocal nothing
        sql, at = found[1].strip(), line + body[: found.start()].count("\n")
        if _OF_ANOTHER.match(sql):
            raise BadInput(f"{file}:{at}: a rollback that is another changeset's is not read: write its SQL here")
        if _NOTHING.fullmatch(sql):
            nothing = True
        elif sql:
            back.append(Piece(text=f"{sql}\n", file=str(file), line=at))
        # the lines stay where they are
        return "\n" * found[0].count("\n")

    forward = _ROLLBACK.sub(take, _LONG_ROLLBACK.sub(take, body))
    return Change(
        name=f"{author}-{name}",
        title=f"{author}:{name}",
        forward=[Piece(text=unwrapped(forward), file=str(file), line=line)],
        back=back,
        nothing_to_reverse=nothing and not back,
    )
