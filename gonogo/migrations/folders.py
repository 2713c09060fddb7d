"""Reads folders of migrations, as the tools that they are for read them: in their order, with their rollbacks.

golang-migrate, Flyway, dbmate, goose, sql-migrate, micrate, node-pg-migrate, tern, shmig, rambler, Play, MyBatis, diesel, sqitch,
plainly numbered files, and what Alembic writes with `--sql`. Nothing is guessed beyond the conventions that those tools document,
and a file that holds no change of the form is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from itertools import zip_longest
from pathlib import Path

from gonogo.errors import BadInput
from gonogo.migrations.changes import Change, Migrations, Piece, text_of, unwrapped
from gonogo.migrations.liquibase import liquibase

_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)

#: where a file that holds both ways changes from the one to the other, by the tool that writes so
_MARKS = {
    "dbmate": r"^--\s*migrate:(up|down)\b.*$",
    "goose": r"^--\s*\+goose\s+(up|down)\b.*$",
    "sql-migrate": r"^--\s*\+migrate\s+(up|down)\b.*$",
    "micrate": r"^--\s*\+micrate\s+(up|down)\b.*$",
    "node-pg-migrate": r"^--\s*(up|down)\s+migration\b.*$",
    "shmig": r"^--\s*=+\s*(up|down)\s*=+\s*$",
    "rambler": r"^--\s*rambler\s+(up|down)\b.*$",
    "Play": r"^#\s*---\s*!(up|down)s\b.*$",
}
#: where the rollback begins in a file that begins with the change
_BACK_FROM = {
    "tern": r"^-{4}\s*create above\s*/\s*drop below\s*-{4}\s*$",
    "MyBatis": r"^--\s*//\s*@UNDO\b.*$",
}
#: what else is one of these tools' own, and no SQL
_TOOLS_OWN = re.compile(r"^--\s*(?:\+\w+\s|migrate:|rambler\s|//\s*@)|^#\s*---", re.MULTILINE | re.IGNORECASE)
#: what `alembic upgrade --sql` and `alembic downgrade --sql` write before each revision, and what they write for themselves
ALEMBIC = re.compile(r"^-- Running (upgrade|downgrade) (.*?) ?-> ?([^,\n]*)(?:, (.*))?$", re.MULTILINE)
_TRANSACTIONS = re.compile(r"^(BEGIN|COMMIT);[ \t]*$", re.MULTILINE)
_ALEMBICS_OWN = re.compile(
    r"^(BEGIN|COMMIT|(CREATE TABLE|INSERT INTO|UPDATE|DELETE FROM|DROP TABLE)\s+(\S+\.)?\"?alembic_version\b[^;]*);[ \t]*$",
    re.MULTILINE,
)
#: what these tools fill in before they run a file
_PLACEHOLDERS = {
    "Flyway": re.compile(r"\$\{[^}\n]+\}"),
    "Liquibase": re.compile(r"\$\{[\w.-]+\}"),
    "tern": re.compile(r"\{\{[^}\n]*\}\}"),
}
_FLYWAY = re.compile(r"V(\d[\d._]*)__(.+)\.sql$")
_NUMBERED = re.compile(r"(\d+)[-_. ]*(.*?)\.sql$")
_DOWN_NAME = re.compile(r"[._-](down|undo|rollback|revert)$", re.IGNORECASE)
_UP_NAME = re.compile(r"[._-](up|do|forward)$", re.IGNORECASE)


def read_folder(folder: Path, *, own: bool = False) -> Migrations:
    """Read a folder of migrations.

    Args:
        folder: its path.
        own: whether what Alembic writes for itself is kept: which revision the database is at.

    Raises:
        BadInput: it has none that is recognised.
    """
    written_by_alembic = partial(_alembic_in, own=own)
    for reader in (_sqitch, liquibase, _diesel, _golang_migrate, _flyway, _in_one_file, written_by_alembic, _numbered):
        if (found := reader(folder)) and found.changes:
            for change in found.changes:
                if change.forward:
                    change.path = Path(change.forward[0].file).relative_to(folder).as_posix()
            _name_what_is_left_out(folder, found)
            _find_placeholders(found)
            return found
    raise BadInput(
        f"{folder} holds no migrations that are recognised: golang-migrate (1_x.up.sql), Flyway (V1__x.sql), diesel and Prisma (a"
        " folder each), sqitch (sqitch.plan), Liquibase (formatted SQL), dbmate, goose and others that write both ways into one"
        " file, what alembic upgrade --sql writes, or numbered files"
    )


def _find_placeholders(found: Migrations) -> None:
    """Note what only the tool can fill in."""
    if (pattern := _PLACEHOLDERS.get(found.form)) is None:
        return
    for piece in (piece for change in found.changes for piece in (*change.forward, *change.back)):
        for each in pattern.finditer(piece.text):
            found.placeholders.append((piece.file, piece.line + piece.text[: each.start()].count("\n"), each[0]))


def _name_what_is_left_out(folder: Path, found: Migrations) -> None:
    """Note the files that hold no change of the form: nothing is left out without a word."""
    read = {Path(piece.file) for change in found.changes for piece in (*change.forward, *change.back)}
    read |= {Path(piece.file) for piece in found.queries}
    known = read | {file for file, _ in found.left_out} | {folder / change.path for change in found.changes}
    for file in sorted(folder.rglob("*.sql")):
        if file not in known and not any(part.startswith(".") for part in file.relative_to(folder).parts):
            found.left_out.append((file, f"it is not called as {found.form} calls its migrations"))


def _piece(file: Path, text: str | None = None, line: int = 1) -> Piece:
    return Piece(text=unwrapped(text_of(file) if text is None else text), file=str(file), line=line)


def _sqitch(folder: Path) -> Migrations | None:
    plan = folder / "sqitch.plan"
    if not plan.is_file():
        return None
    found = Migrations(form="sqitch")
    for name in _sqitch_names(text_of(plan)):
        deploy, revert, verify = (folder / kind / f"{name}.sql" for kind in ("deploy", "revert", "verify"))
        if deploy.is_file():
            back = [_piece(revert)] if revert.is_file() else []
            found.changes.append(Change(name=name, forward=[_piece(deploy)], back=back))
        else:
            found.left_out.append((deploy, "sqitch.plan names it, and it is not there"))
        if verify.is_file():
            found.queries.append(_piece(verify))
    return found


def _sqitch_names(plan: str) -> list[str]:
    """Return the names of a plan's files, in its order: what is reworked later has its first text under the tag before that."""
    names: list[str] = []
    tag = ""
    for line in plan.splitlines():
        word = line.split()[0] if line.strip() else ""
        if word.startswith("@"):
            tag = word
        elif word and word[0] not in "%#":
            # `change@tag [change]` reworks; the tag may stand in the brackets, too
            name = word.split("@")[0].lstrip("+-")
            if name in names:
                names[names.index(name)] = f"{name}{tag}"
            names.append(name)
    return names


def _diesel(folder: Path) -> Migrations | None:
    """Read a folder for each change: diesel's and Hasura's, and Prisma's, which has no rollback."""
    for form, name in (("diesel", "up.sql"), ("Prisma", "migration.sql")):
        found = Migrations(form=form)
        for up in sorted(folder.glob(f"*/{name}")):
            down = up.with_name("down.sql")
            back = [_piece(down)] if down.is_file() else []
            found.changes.append(Change(name=up.parent.name, forward=[_piece(up)], back=back))
        if found.changes:
            return found
    return None


def _golang_migrate(folder: Path) -> Migrations | None:
    found = Migrations(form="golang-migrate")
    for up in sorted(folder.glob("*.up.sql"), key=_number):
        down = up.with_name(up.name.removesuffix(".up.sql") + ".down.sql")
        back = [_piece(down)] if down.is_file() else []
        found.changes.append(Change(name=up.name.removesuffix(".up.sql"), forward=[_piece(up)], back=back))
    return found


def _flyway(folder: Path) -> Migrations | None:
    found = Migrations(form="Flyway")
    versions = [(known, file) for file in folder.rglob("V*__*.sql") if (known := _FLYWAY.match(file.name))]
    for known, file in sorted(versions, key=lambda pair: [int(n) for n in re.findall(r"\d+", pair[0].group(1))]):
        undo = file.with_name("U" + file.name[1:])
        back = [_piece(undo)] if undo.is_file() else []
        found.changes.append(Change(name=file.stem, title=known.group(2), forward=[_piece(file)], back=back))
    # what is repeatable comes after all versions, by its description
    for file in sorted(folder.rglob("R__*.sql"), key=lambda each: each.name) if found.changes else ():
        found.changes.append(Change(name=file.stem, title=file.stem.removeprefix("R__"), forward=[_piece(file)]))
    for file in sorted(folder.rglob("*.sql")) if found.changes else ():
        if re.match(r"(before|after)[A-Z]\w*", file.name):
            found.left_out.append((file, "a callback: Flyway runs it around others, and it is no change"))
    return found


def _in_one_file(folder: Path) -> Migrations | None:
    """Read files that hold both ways."""
    files = [(file, text_of(file)) for file in sorted(folder.glob("*.sql"), key=_number)]
    for form, mark in _MARKS.items():
        found = _marked(form, re.compile(mark, re.MULTILINE | re.IGNORECASE), files)
        if found.changes:
            return found
    for form, mark in _BACK_FROM.items():
        turn = re.compile(mark, re.MULTILINE | re.IGNORECASE)
        if any(turn.search(text) for _, text in files):
            return _turned(form, turn, files)
    return None


def _marked(form: str, marks: re.Pattern[str], files: Iterable[tuple[Path, str]]) -> Migrations:
    found = Migrations(form=form)
    for file, text in files:
        parts = list(marks.finditer(text))
        if not parts:
            continue
        change = Change(name=file.stem, path=file.name)
        for mark, after in zip_longest(parts, parts[1:]):
            body = text[mark.end() : after.start() if after else len(text)]
            side = change.forward if mark.group(1).lower() == "up" else change.back
            if _COMMENT.sub("", body).strip():
                side.append(_piece(file, body, text[: mark.end()].count("\n") + 1))
        found.changes.append(change)
    return found


def _turned(form: str, turn: re.Pattern[str], files: Iterable[tuple[Path, str]]) -> Migrations:
    found = Migrations(form=form)
    for file, text in files:
        mark = turn.search(text)
        change = Change(name=file.stem, forward=[_piece(file, text[: mark.start()] if mark else text)])
        if mark and _COMMENT.sub("", text[mark.end() :]).strip():
            change.back = [_piece(file, text[mark.end() :], text[: mark.end()].count("\n") + 1)]
        found.changes.append(change)
    return found


def _alembic_in(folder: Path, *, own: bool) -> Migrations | None:
    files = sorted(folder.glob("*.sql"))
    others = [file for file in files if not ALEMBIC.search(text_of(file))]
    if len(others) == len(files) or all(_NUMBERED.match(file.name) for file in files):
        return None
    if others:
        raise BadInput(f"{others[0]} lies beside what Alembic wrote, and is not Alembic's: read it by itself, or move it away")
    return alembic(files, own=own)


def alembic(files: Iterable[Path], *, own: bool) -> Migrations:
    """Read files that Alembic wrote as SQL: the revisions in the order in which they are made, each with its downgrade.

    Args:
        files: their paths.
        own: whether what it writes for itself, the revision that the database is at, is kept.
    """
    return alembic_texts([(str(file), text_of(file)) for file in files], own=own)


def alembic_texts(texts: Iterable[tuple[str, str]], *, own: bool) -> Migrations:
    """Read what Alembic wrote as SQL.

    Args:
        texts: what it wrote, each with what it is called.
        own: whether what it writes for itself, the revision that the database is at, is kept.
    """
    changes: dict[str, Change] = {}
    backs: dict[str, list[Piece]] = {}
    begins_after = ""
    for file, text in texts:
        # what is left out leaves its lines, so that what is said of the others is where they stand
        kept = (_TRANSACTIONS if own else _ALEMBICS_OWN).sub(lambda found: "\n" * found.group().count("\n"), text)
        marks = list(ALEMBIC.finditer(kept))
        for mark, after in zip_longest(marks, marks[1:]):
            body = kept[mark.end() : after.start() if after else len(kept)]
            line = kept[: mark.end()].count("\n") + 1
            pieces = [Piece(text=unwrapped(body), file=file, line=line)] if _COMMENT.sub("", body).strip() else []
            direction, source, target, title = mark.groups()
            if direction == "upgrade":
                name = target.strip()
                begins_after = begins_after if changes else source.strip()
                changes[name] = Change(name=name, title=title or "", forward=pieces)
            else:
                backs[source.strip()] = pieces
    for name, change in changes.items():
        change.back = backs.get(name, [])
    return Migrations(form="Alembic", changes=list(changes.values()), after=begins_after)


def _numbered(folder: Path) -> Migrations | None:
    files = [file for file in sorted(folder.glob("*.sql"), key=_number) if _NUMBERED.match(file.name)]
    found = Migrations(form="numbered files")
    for file in files:
        if odd := _TOOLS_OWN.search(text := text_of(file)):
            line = text[: odd.start()].count("\n") + 1
            mark = text[odd.start() :].splitlines()[0]
            raise BadInput(
                f"{file}:{line}: {mark!r} is a mark of some tool that is not known here: nothing of the folder is read"
            )
    forward = {_UP_NAME.sub("", file.stem) for file in files}
    # a name that ends like a rollback is one only where there is what it takes back
    back = {_UP_NAME.sub("", _DOWN_NAME.sub("", file.stem)): file for file in files if _DOWN_NAME.search(file.stem)}
    downs = {base: file for base, file in back.items() if base in forward}
    for file in files:
        if file not in downs.values():
            down = downs.get(_UP_NAME.sub("", file.stem))
            found.changes.append(Change(name=file.stem, forward=[_piece(file)], back=[_piece(down)] if down else []))
    return found


def _number(file: Path) -> tuple[int, str]:
    known = re.match(r"\d+", file.name)
    return (int(known.group()) if known else 0, file.name)
