"""Reads migrations that others wrote, as changes with a rollback: a plan in Markdown, or a folder of SQL files.

Folders of golang-migrate, Flyway, dbmate, goose, diesel and sqitch are recognised, plainly numbered files, and what Alembic
writes with `--sql`. Nothing is run here, and nothing is guessed beyond the conventions that those tools document.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from gonogo.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some SQL, and where it stands."""

    text: str
    file: str
    #: its first line, counted from 1
    line: int = 1


@dataclass(kw_only=True)
class Change:
    """Something that is done, and what reverses it."""

    name: str
    title: str = ""
    forward: list[Piece] = field(default_factory=list)
    back: list[Piece] = field(default_factory=list)


@dataclass(kw_only=True)
class Migrations:
    """What was read."""

    #: what it was taken for
    form: str
    changes: list[Change] = field(default_factory=list)
    #: queries that change nothing
    queries: list[Piece] = field(default_factory=list)
    #: rollbacks that belong to no change
    loose: list[Piece] = field(default_factory=list)
    #: boxes of checklists
    boxes: list[str] = field(default_factory=list)
    #: lines that draw thresholds
    thresholds: list[tuple[int, str]] = field(default_factory=list)


def read(path: Path) -> Migrations:
    """Read a plan or a folder of migrations.

    Raises:
        BadInput: there is nothing of the kind.
    """
    try:
        if path.is_dir():
            return read_folder(path)
        text = path.read_text(encoding="utf-8")
        return _alembic([path]) if path.suffix == ".sql" and _ALEMBIC.search(text) else read_plan(path, text)
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None


# a plan in Markdown

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*$")
_FENCE = re.compile(r"(\s*)(`{3,}|~{3,})\s*(\S*)")
_SQL = frozenset({"sql", "postgresql", "postgres", "pgsql", "plpgsql"})
_BACK = re.compile(r"\b(roll(ing)?[ -]?back|revert|undo|down migration|restore)\b", re.IGNORECASE)
_LABEL = re.compile(r"\b(phase|migration|step|task|script|part)[ _#-]*(\d+(?:\.\d+)*)", re.IGNORECASE)
_QUERY = re.compile(r"(select|explain|show|with|table|values)\b", re.IGNORECASE)
_CHANGES = re.compile(r"\b(insert|update|delete|create|alter|drop|truncate|grant|revoke|merge|into)\b", re.IGNORECASE)
_BOX = re.compile(r"\s*[-*]\s+\[[ xX]\]\s+(.*)")
_THRESHOLD = re.compile(r"([<>≤≥]\s*=?\s*\d|\b\d+(\.\d+)?\s*(%|ms\b|seconds?\b|minutes?\b|TPS\b)|should be 0)", re.IGNORECASE)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class _Block:
    piece: Piece
    headings: tuple[str, ...]
    #: the text just before it
    lead: str


def read_plan(path: Path, text: str) -> Migrations:
    """Read a plan in Markdown: its SQL by section, what rolls back, the queries, the boxes and the thresholds.

    Raises:
        BadInput: it has no SQL.
    """
    found = Migrations(form="a plan in Markdown")
    blocks = list(_blocks(path, text.splitlines(), found))
    if not blocks:
        raise BadInput(f"{path} has no block of SQL (```sql)")
    sections: dict[str, Change] = {}
    for block in blocks:
        if _is_query(block.piece.text):
            found.queries.append(block.piece)
        elif _is_back(block):
            (_change_of(block, sections) or Change(name="", back=found.loose)).back.append(block.piece)
        else:
            key = _label(block) or " / ".join(block.headings)
            title = block.headings[-1] if block.headings else path.stem
            change = sections.setdefault(key, Change(name=_name(len(sections) + 1, title), title=title))
            change.forward.append(block.piece)
    found.changes = list(sections.values())
    return found


def _blocks(path: Path, lines: list[str], found: Migrations) -> Iterator[_Block]:
    headings: dict[int, str] = {}
    fence, language, began, lead = "", "", 0, ""
    for number, line in enumerate(lines, 1):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark.group(2).startswith(fence) and not mark.group(3):
                if language in _SQL:
                    body = "\n".join(lines[began : number - 1]) + "\n"
                    named = tuple(headings[level] for level in sorted(headings))
                    yield _Block(piece=Piece(text=body, file=str(path), line=began + 1), headings=named, lead=lead)
                fence, lead = "", ""
        elif mark:
            fence, language, began = mark.group(2), mark.group(3).lower(), number
        elif heading := _HEADING.match(line):
            level = len(heading.group(1))
            headings = {known: title for known, title in headings.items() if known < level}
            headings[level], lead = heading.group(2), ""
        else:
            lead = line.strip() or lead
            if box := _BOX.match(line):
                found.boxes.append(box.group(1))
            if _THRESHOLD.search(line):
                found.thresholds.append((number, line.strip()))


def _is_query(text: str) -> bool:
    bare = _COMMENT.sub("", text).strip()
    return bool(_QUERY.match(bare)) and not _CHANGES.search(re.sub(r"'[^']*'", "", bare))


def _is_back(block: _Block) -> bool:
    first = block.piece.text.strip().splitlines()[0] if block.piece.text.strip() else ""
    says = first if first.startswith("--") else ""
    return any(_BACK.search(text) for text in (*block.headings[-2:], block.lead, says))


def _label(block: _Block) -> str:
    for text in reversed(block.headings):
        if (found := _LABEL.search(text)) and not _BACK.search(text[: found.start()]):
            return f"{found.group(1).lower()} {found.group(2)}"
    return ""


def _change_of(block: _Block, sections: dict[str, Change]) -> Change | None:
    """Return the change that a rollback reverses: the one of the same label, else the newest one above it."""
    first = block.piece.text.strip().splitlines()[0]
    for text in (block.lead, first, *reversed(block.headings)):
        if found := _LABEL.search(text):
            same = f"{found.group(1).lower()} {found.group(2)}"
            if same in sections:
                return sections[same]
    inside = [key for key in sections if block.headings[:-1] and key.startswith(" / ".join(block.headings[:-1]))]
    return sections[inside[-1]] if inside else None


def _name(number: int, title: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-")
    return f"{number:03}-{words}" if words else f"{number:03}"


# a folder

_GOOSE = re.compile(r"^--\s*\+goose\s+(Up|Down)\b.*$", re.MULTILINE)
_DBMATE = re.compile(r"^--\s*migrate:(up|down)\b.*$", re.MULTILINE)
#: what `alembic upgrade --sql` and `alembic downgrade --sql` write before each revision, and what they write for themselves
_ALEMBIC = re.compile(r"^-- Running (upgrade|downgrade) (.*?) ?-> ?([^,\n]*)(?:, (.*))?$", re.MULTILINE)
_ALEMBICS_OWN = re.compile(
    r"^(BEGIN|COMMIT|(CREATE TABLE|INSERT INTO|UPDATE|DELETE FROM|DROP TABLE)\s+(\S+\.)?\"?alembic_version\b[^;]*);[ \t]*$",
    re.MULTILINE,
)
_FLYWAY = re.compile(r"V(\d[\d._]*)__(.+)\.sql$")
_NUMBERED = re.compile(r"(\d+)[-_. ]*(.*?)\.sql$")
_DOWN_NAME = re.compile(r"[._-](down|undo|rollback|revert)$", re.IGNORECASE)
_UP_NAME = re.compile(r"[._-](up|do|forward)$", re.IGNORECASE)


def read_folder(folder: Path) -> Migrations:
    """Read a folder of migrations.

    Raises:
        BadInput: it has none that is recognised.
    """
    for reader in (_sqitch, _diesel, _golang_migrate, _flyway, _in_one_file, _alembic_in, _numbered):
        if (found := reader(folder)) and found.changes:
            return found
    raise BadInput(
        f"{folder} holds no migrations that are recognised: golang-migrate (1_x.up.sql), Flyway (V1__x.sql), dbmate, goose,"
        " diesel (a folder each with up.sql), sqitch (sqitch.plan), what alembic upgrade --sql writes, or numbered files"
    )


def _piece(file: Path, text: str | None = None, line: int = 1) -> Piece:
    return Piece(text=file.read_text(encoding="utf-8") if text is None else text, file=str(file), line=line)


def _sqitch(folder: Path) -> Migrations | None:
    plan = folder / "sqitch.plan"
    if not plan.is_file():
        return None
    names = [line.split()[0] for line in plan.read_text(encoding="utf-8").splitlines() if line.strip() and line[0] not in "%@#"]
    found = Migrations(form="sqitch")
    for name in names:
        deploy, revert, verify = (folder / kind / f"{name}.sql" for kind in ("deploy", "revert", "verify"))
        if deploy.is_file():
            back = [_piece(revert)] if revert.is_file() else []
            found.changes.append(Change(name=name, forward=[_piece(deploy)], back=back))
        if verify.is_file():
            found.queries.append(_piece(verify))
    return found


def _diesel(folder: Path) -> Migrations | None:
    ups = sorted(folder.glob("*/up.sql"))
    found = Migrations(form="diesel")
    for up in ups:
        down = up.with_name("down.sql")
        back = [_piece(down)] if down.is_file() else []
        found.changes.append(Change(name=up.parent.name, forward=[_piece(up)], back=back))
    return found


def _golang_migrate(folder: Path) -> Migrations | None:
    found = Migrations(form="golang-migrate")
    for up in sorted(folder.glob("*.up.sql"), key=_number):
        down = up.with_name(up.name.removesuffix(".up.sql") + ".down.sql")
        back = [_piece(down)] if down.is_file() else []
        found.changes.append(Change(name=up.name.removesuffix(".up.sql"), forward=[_piece(up)], back=back))
    return found


def _flyway(folder: Path) -> Migrations | None:
    found = Migrations(form="Flyway")
    versions = [(known, file) for file in folder.glob("V*__*.sql") if (known := _FLYWAY.match(file.name))]
    for known, file in sorted(versions, key=lambda pair: [int(n) for n in re.findall(r"\d+", pair[0].group(1))]):
        undo = file.with_name("U" + file.name[1:])
        back = [_piece(undo)] if undo.is_file() else []
        found.changes.append(Change(name=file.stem, title=known.group(2), forward=[_piece(file)], back=back))
    return found


def _in_one_file(folder: Path) -> Migrations | None:
    """Read files that hold both ways: dbmate's and goose's."""
    for form, marks in (("dbmate", _DBMATE), ("goose", _GOOSE)):
        found = Migrations(form=form)
        for file in sorted(folder.glob("*.sql"), key=_number):
            text = file.read_text(encoding="utf-8")
            parts = list(marks.finditer(text))
            if not parts:
                continue
            change = Change(name=file.stem)
            for mark, after in zip(parts, [*parts[1:], None], strict=True):
                body = text[mark.end() : after.start() if after else len(text)]
                line = text[: mark.end()].count("\n") + 1
                side = change.forward if mark.group(1).lower() == "up" else change.back
                if _COMMENT.sub("", body).strip():
                    side.append(_piece(file, body.lstrip("\n") and body, line))
            found.changes.append(change)
        if found.changes:
            return found
    return None


def _alembic_in(folder: Path) -> Migrations | None:
    files = sorted(folder.glob("*.sql"))
    others = [file for file in files if not _ALEMBIC.search(file.read_text(encoding="utf-8"))]
    if len(others) == len(files) or all(_NUMBERED.match(file.name) for file in files):
        return None
    if others:
        raise BadInput(f"{others[0]} lies beside what Alembic wrote, and is not Alembic's: read it by itself, or move it away")
    return _alembic(files)


def _alembic(files: Iterable[Path]) -> Migrations:
    """Read what Alembic wrote as SQL: the revisions in the order in which they are made, each with its downgrade."""
    changes: dict[str, Change] = {}
    backs: dict[str, list[Piece]] = {}
    for file in files:
        text = file.read_text(encoding="utf-8")
        # its own book-keeping is left out, and its lines stay, so that what is said of the others is where they stand
        kept = _ALEMBICS_OWN.sub(lambda own: "\n" * own.group().count("\n"), text)
        marks = list(_ALEMBIC.finditer(kept))
        for mark, after in zip_longest(marks, marks[1:]):
            body = kept[mark.end() : after.start() if after else len(kept)]
            line = kept[: mark.end()].count("\n") + 1
            pieces = [_piece(file, body, line)] if _COMMENT.sub("", body).strip() else []
            direction, source, target, title = mark.groups()
            if direction == "upgrade":
                name = target.strip()
                changes[name] = Change(name=name, title=title or "", forward=pieces)
            else:
                backs[source.strip()] = pieces
    for name, change in changes.items():
        change.back = backs.get(name, [])
    return Migrations(form="Alembic", changes=list(changes.values()))


def _numbered(folder: Path) -> Migrations | None:
    files = [file for file in sorted(folder.glob("*.sql"), key=_number) if _NUMBERED.match(file.name)]
    found = Migrations(form="numbered files")
    downs = {_UP_NAME.sub("", _DOWN_NAME.sub("", file.stem)): file for file in files if _DOWN_NAME.search(file.stem)}
    for file in files:
        if not _DOWN_NAME.search(file.stem):
            down = downs.get(_UP_NAME.sub("", file.stem))
            found.changes.append(Change(name=file.stem, forward=[_piece(file)], back=[_piece(down)] if down else []))
    return found


def _number(file: Path) -> tuple[int, str]:
    known = re.match(r"\d+", file.name)
    return (int(known.group()) if known else 0, file.name)


def all_pieces(migrations: Migrations) -> Iterable[Piece]:
    """Return everything that was read, in the order in which it stands."""
    for change in migrations.changes:
        yield from change.forward
        yield from change.back
    yield from (*migrations.loose, *migrations.queries)
