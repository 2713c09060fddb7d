"""Reads migrations that others wrote, as changes with a rollback: a plan in Markdown, or a folder of SQL files.

Nothing is run here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gonogo.errors import BadInput
from gonogo.migrations.changes import Change, Migrations, Piece, SharedRollback, text_of
from gonogo.migrations.folders import ALEMBIC, alembic, read_folder
from gonogo.sql.parse import Statement, split


def read(path: Path, *, own: bool = False) -> Migrations:
    """Read a plan or a folder of migrations.

    Args:
        path: the plan, or the folder.
        own: whether what Alembic writes for itself is kept: which revision the database is at.

    Raises:
        BadInput: there is nothing of the kind.
    """
    if path.is_dir():
        return read_folder(path, own=own)
    text = text_of(path)
    return alembic([path], own=own) if path.suffix == ".sql" and ALEMBIC.search(text) else read_plan(path, text)


# a plan in Markdown

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*$")
_FENCE = re.compile(r"(\s*)(`{3,}|~{3,})\s*(\S*)")
_SQL = frozenset({"sql", "postgresql", "postgres", "pgsql", "plpgsql"})
_BACK = re.compile(r"\b(roll(ing)?[ -]?back|revert|undo|down migration|restore)\b", re.IGNORECASE)
_LABEL = re.compile(r"\b(phase|migration|step|task|script|part)[ _#-]*(\d+(?:\.\d+)*)", re.IGNORECASE)
_QUERY = re.compile(r"(select|explain|show|with|table|values)\b", re.IGNORECASE)
_CHANGES = re.compile(r"\b(insert|update|delete|create|alter|drop|truncate|grant|revoke|merge|into)\b", re.IGNORECASE)
#: what stands before a parenthesis; and of that, what PostgreSQL itself has and only looks
_CALL = re.compile(r"([A-Za-z_][\w.$]*)\s*\(")
_LOOKS = re.compile(
    r"(pg_catalog\.)?("
    # words of the language
    r"select|from|where|and|or|not|in|exists|any|all|some|as|on|using|by|when|then|else|having|union|except|intersect|with|values"
    r"|over|filter|group|partition|order|within|lateral|join|limit|explain|analyze|interval|row|array|cast|extract|coalesce|nullif"
    r"|numeric|decimal|varchar|char|character|bit|time|timestamp|distinct|between|like|is|case"
    # counting, and what is done with values
    r"|count|sum|min|max|avg|mode|rank|lag|lead|ntile|every|version|now|age|md5|random|round|floor|ceil|ceiling|abs|mod|power|sqrt"
    r"|greatest|least|length|upper|lower|initcap|trim|replace|translate|position|overlay|format|left|right|reverse|repeat|unnest"
    r"|width_bucket|cardinality|current_setting|gen_random_uuid|generate_series|hashtext|stddev\w*|var\w*|corr|regr_\w+|bool_\w+"
    r"|\w*trim|\w*pad|substr\w*|split_\w+|concat\w*|char_length|octet_length|string_\w+|array_\w+|jsonb?_\w+|row_\w+|dense_rank"
    r"|percent\w*|cume_dist|\w+_value|date_\w+|to_\w+|make_\w+|regexp_\w+|quote_\w+|obj_description|col_description|has_\w+|num_\w+"
    r"|pg_(?!stat\w*reset)(get|stat|table|relation|total|database|indexes|column|tablespace|size|is|typeof|has|index|describe|identify|postmaster)\w*"
    r")"
)
#: what writes rows and does nothing else
_WRITES = frozenset({"insert_stmt", "update_stmt", "merge_stmt"})
#: what changes rows, or looks, and no definition
ONLY_ROWS = _WRITES | {"delete_stmt", "select_stmt", "truncate_stmt"}
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
    found = Migrations(form="a plan in Markdown", for_one_night=True)
    blocks = list(_blocks(path, text.splitlines(), found))
    if not blocks:
        raise BadInput(f"{path} has no block of SQL (```sql)")
    sections: dict[str, Change] = {}
    #: the changes under each heading that has a label, such as `phase 2`
    under: dict[str, list[Change]] = {}
    backs: list[_Block] = []
    for block in blocks:
        if _is_query(block.piece.text):
            found.queries.append(block.piece)
        elif not _is_back(block):
            key = _label(block) or " / ".join(block.headings)
            title = block.headings[-1] if block.headings else path.stem
            change = sections.setdefault(key, Change(name=_name(len(sections) + 1, title), title=title))
            change.forward.append(block.piece)
            for label in _labels(block.headings):
                if change not in under.setdefault(label, []):
                    under[label].append(change)
        elif change_ := _change_of(block, sections):
            change_.back.append(block.piece)
        else:
            backs.append(block)
    found.changes = list(sections.values())
    for block in backs:
        _share(block, found, under)
    return found


def _share(block: _Block, found: Migrations, under: dict[str, list[Change]]) -> None:
    """Put a rollback to the changes that it reverses: those under the heading that it names, or those that made what it drops."""
    labels = _labels((block.lead, block.piece.text.strip().splitlines()[0], *block.headings))
    named = next((under[label] for label in labels if label in under), [])
    reversed_ = named or [change for change in found.changes if _makes(change) & dropped_by([block.piece])]
    names = [change.name for change in reversed_]
    same = next((shared for shared in found.shared if shared.changes == names), None)
    if not names:
        found.loose.append(block.piece)
    elif same is not None:
        # what was done last is reversed first
        same.back.insert(0, block.piece)
    else:
        found.shared.append(SharedRollback(changes=names, back=[block.piece]))


def _makes(change: Change) -> set[str]:
    return {_bare(statement.makes) for statement in _statements(change.forward) if statement.makes}


def dropped_by(pieces: Sequence[Piece]) -> set[str]:
    """Return the tables that some SQL drops."""
    return {_bare(name) for each in _statements(pieces) if each.node == "drop_stmt" for name in each.destroys}


def is_gone_with(change: Change, dropped: set[str]) -> bool:
    """Say whether all that a change does is to write rows into tables that are dropped, or to index those."""
    statements = list(_statements(change.forward))
    written = {_bare(name) for each in statements for _, name in each.locks}
    return bool(written) and written <= dropped and all(each.node in {*_WRITES, "index_stmt"} for each in statements)


def _bare(name: str) -> str:
    return name.rpartition(".")[2].strip('"')


def _statements(pieces: Sequence[Piece]) -> Iterator[Statement]:
    for piece in pieces:
        yield from readable(piece)


def readable(piece: Piece) -> list[Statement]:
    """Return the statements of a piece; none where it cannot be read as a whole."""
    with suppress(BadInput):
        return split(piece.text, piece.file)
    return []


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
    """Say whether a block is only to look: a SELECT that calls a function of somebody's may change anything."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "''", _COMMENT.sub("", text)).strip()
    calls = {name.lower() for name in _CALL.findall(bare)}
    return bool(_QUERY.match(bare)) and not _CHANGES.search(bare) and all(map(_LOOKS.fullmatch, calls))


def _is_back(block: _Block) -> bool:
    first = block.piece.text.strip().splitlines()[0] if block.piece.text.strip() else ""
    says = first if first.startswith("--") else ""
    return any(_BACK.search(text) for text in (*block.headings[-2:], block.lead, says))


def _label(block: _Block) -> str:
    return next(iter(_labels(reversed(block.headings))), "")


def _labels(texts: Iterable[str]) -> list[str]:
    """Return what some texts are labelled, such as `phase 2`, in their order."""
    found = ((text, _LABEL.search(text)) for text in texts)
    return [f"{m.group(1).lower()} {m.group(2)}" for text, m in found if m and not _BACK.search(text[: m.start()])]


def _change_of(block: _Block, sections: dict[str, Change]) -> Change | None:
    """Return the change that a rollback reverses: the one of the same label, else the newest one above it."""
    first = block.piece.text.strip().splitlines()[0]
    for text in (block.lead, first, *reversed(block.headings)):
        if found := _LABEL.search(text):
            same = f"{found.group(1).lower()} {found.group(2)}"
            if same in sections:
                return sections[same]
    inside = [key for key in sections if block.headings[:-1] and key.startswith(" / ".join(block.headings[:-1]))]
    # under the title of all of it, it is inside of none
    return sections[inside[-1]] if inside and (len(inside) < len(sections) or len(sections) == 1) else None


def _name(number: int, title: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-")
    return f"{number:03}-{words}" if words else f"{number:03}"
