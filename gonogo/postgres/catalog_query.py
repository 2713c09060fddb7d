"""The query that reads the system catalogs: made of what the server says of them, and of what it is told by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from gonogo.core.plan.fingerprint import ALWAYS_UNSEEN, BUILT_IN
from gonogo.postgres import not_compared as known

#: the first number of what was made after the server was set up
_FIRST_MADE = 16384

# what is not the application's: the ledger, temporary tables (which come and go beside us), what the server keeps beside a table
_HIDDEN = """
hidden_schema AS MATERIALIZED (
  SELECT oid FROM pg_namespace WHERE nspname = 'gonogo' OR nspname ~ '^pg_(toast|temp_|toast_temp_)'
), hidden_type AS MATERIALIZED (
  SELECT oid FROM pg_type WHERE typnamespace IN (SELECT oid FROM hidden_schema)
), hidden_function AS MATERIALIZED (
  SELECT oid FROM pg_proc WHERE pronamespace IN (SELECT oid FROM hidden_schema)
), hidden_config AS MATERIALIZED (
  SELECT oid FROM pg_ts_config WHERE cfgnamespace IN (SELECT oid FROM hidden_schema)
), hidden AS MATERIALIZED (
  SELECT oid FROM pg_class WHERE relpersistence = 't' OR relnamespace IN (SELECT oid FROM hidden_schema)
)
"""


#: catalogs that PostgreSQL changes without a new version of the row (`heap_inplace_update`)
_WRITTEN_IN_PLACE = frozenset({"pg_class"})
#: which database of which server it is, what its roles are called, and the settings by which values become text
_SERVER = (
    "(SELECT md5(string_agg(concat_ws(' ', oid, rolname), ',' ORDER BY oid)) FROM pg_roles),"
    " pg_postmaster_start_time()::text, (SELECT oid FROM pg_database WHERE datname = current_database()),"
    " current_setting('extra_float_digits'), current_setting('bytea_output'), current_setting('client_encoding')"
)
#: what somebody else makes for a session of theirs, and what is recorded of it in catalogs of its own
_HIDDEN_LISTS = {"pg_type": "hidden_type", "pg_proc": "hidden_function", "pg_ts_config": "hidden_config"}


@dataclass(frozen=True, kw_only=True)
class _Catalog:
    name: str
    shared: bool
    #: each column with its type
    columns: Mapping[str, str]
    #: those that can say nothing at all
    nullable: frozenset[str]
    unreadable: tuple[str, ...]

    @property
    def own_number(self) -> bool:
        return "oid" in self.columns


@dataclass(frozen=True, kw_only=True)
class Query:
    """The queries, and what they leave out: what the role may not read, and what only a newer gonogo can."""

    text: str
    #: of the rows that every server has, which hardly anybody ever changes
    built_in: str
    #: what is another as soon as one of these rows was written: where each lies, and by which transaction
    marks: str
    unseen: tuple[str, ...]


@lru_cache(maxsize=8)
def make_query(
    columns: tuple[tuple[str, bool, str, str, bool, bool], ...],
    references: tuple[tuple[str, tuple[str, ...], str], ...],
    keys: tuple[tuple[str, tuple[str, ...]], ...],
) -> Query:
    """Return the queries that read all catalogs, made of what the server says of them."""
    writer = _Writer(references, dict(keys))
    catalogs = list(_catalogs(columns))
    made = [writer.made(catalog) for catalog in catalogs if catalog.columns]
    built_in, marks = list[str](), list[str]()
    for catalog in catalogs:
        if digest := writer.built_in(catalog):
            # VACUUM writes into rows of pg_class where they lie, and no transaction is told by it; a mark needs the whole row
            where = made if catalog.name in _WRITTEN_IN_PLACE or catalog.unreadable or catalog.name in known.INSTEAD else built_in
            where.append(digest)
            if where is built_in:
                marks.append(writer.mark(catalog))
    unseen = [f"{catalog.name}.{name}" for catalog in catalogs for name in catalog.unreadable]
    return Query(
        text=f"WITH {_HIDDEN} {' UNION ALL '.join(made)}",
        built_in=f"WITH {_HIDDEN} {' UNION ALL '.join(built_in)}",
        marks=f"SELECT {_SERVER}, count(*), sum(mark) FROM ({' UNION ALL '.join(marks)}) AS marks (mark)",
        unseen=(*unseen, *writer.unknown, *ALWAYS_UNSEEN),
    )


def _catalogs(columns: Iterable[tuple[str, bool, str, str, bool, bool]]) -> Iterator[_Catalog]:
    by_name: dict[str, list[tuple[str, str, bool]]] = {}
    shared: dict[str, bool] = {}
    nullable: dict[str, set[str]] = {}
    for catalog, is_shared, column, kind, never_null, readable in columns:
        if catalog not in known.CATALOGS:
            by_name.setdefault(catalog, []).append((column, kind, readable))
            shared[catalog] = is_shared
            nullable.setdefault(catalog, set()).update(() if never_null else (column,))
    for catalog, found in by_name.items():
        whole = catalog in known.INSTEAD and not any(readable for _, _, readable in found)
        yield _Catalog(
            name=catalog,
            shared=shared[catalog] and catalog not in known.OF_THE_DATABASE,
            nullable=frozenset(nullable[catalog]),
            columns={column: kind for column, kind, readable in found if readable or whole},
            unreadable=tuple(
                column
                for column, _, readable in found
                if not readable
                and not whole
                and (f"{catalog}.{column}" in known.WRITTEN or column not in known.COLUMNS.get(catalog, {}))
            )
            if any(readable for _, _, readable in found) or whole
            else ("*",),
        )


class _Writer:
    """Writes the part of the query that reads a catalog."""

    def __init__(self, references: Iterable[tuple[str, tuple[str, ...], str]], keys: Mapping[str, tuple[str, ...]]) -> None:
        self.keys = keys
        self.refers: dict[str, str] = {}
        self.numbers = dict(known.COLUMN_NUMBERS)
        for catalog, columns, target in references:
            if len(columns) == 1:
                self.refers[f"{catalog}.{columns[0]}"] = target
            else:
                self.numbers[f"{catalog}.{columns[1]}"] = columns[0]
        #: columns of a form that only a newer gonogo knows how to write
        self.unknown: list[str] = []

    def made(self, catalog: _Catalog) -> str:
        """Return the query of a catalog's own rows."""
        return self._about(catalog) if catalog.name in known.ABOUT else self._made(catalog)

    def built_in(self, catalog: _Catalog) -> str:
        """Return the query of the digest over the rows that every server has; nothing where a catalog has none to compare."""
        if not catalog.columns:
            return ""
        if catalog.name in known.ABOUT:
            if catalog.name not in ("pg_description", "pg_seclabel"):
                return ""
            # what is said of the schemas and extensions that every database has stands with them
            own = "classoid IN ('pg_namespace'::regclass, 'pg_extension'::regclass)"
            return self._digest(catalog, f"objoid < {_FIRST_MADE} AND NOT {own}", list(catalog.columns))
        return "" if catalog.shared or catalog.name in known.OF_THE_DATABASE else self._built_in(catalog)

    def mark(self, catalog: _Catalog) -> str:
        """Return the query of what is another once a row that every server has was written, or one that may share its name."""
        anchor = "objoid" if catalog.name in known.ABOUT else self._anchor(catalog)
        which = [f"r.{anchor} < {_FIRST_MADE}"]
        which += [
            f"r.{column} = 'pg_catalog'::regnamespace"
            for column in catalog.columns
            if self.refers.get(f"{catalog.name}.{column}") == "pg_namespace"
        ]
        return f"SELECT hash_record_extended(ROW(r.tableoid, r.ctid, r.xmin), 0) FROM {catalog.name} r WHERE {' OR '.join(which)}"

    def _about(self, catalog: _Catalog) -> str:
        of, number, part, how = known.ABOUT[catalog.name]
        part = f"r.{part}" if part in catalog.columns else part
        only = known.ONLY_ABOUT.get(catalog.name, "true").format(r="r")
        also = (
            f"r.{of} = 'pg_database'::regclass OR r.{of} = 'pg_authid'::regclass OR " if catalog.name.startswith("pg_sh") else ""
        )
        return (
            f"SELECT '{catalog.name}', r.{of}::oid, r.{number}, {part}, NULL, {how.format(r='r')}, {str(catalog.shared).lower()}"
            f" FROM {catalog.name} r WHERE {only} AND ({also}r.{number} >= {_FIRST_MADE}"
            f" OR r.{of} = 'pg_namespace'::regclass OR r.{of} = 'pg_extension'::regclass)"
        )

    def _made(self, catalog: _Catalog) -> str:
        """Return the query of the rows that somebody made, and of those of the server that people change."""
        anchor = self._anchor(catalog)
        conditions = [f"(r.{anchor} >= {_FIRST_MADE} OR {known.ALSO.get(catalog.name, 'false').format(r='r')})"]
        conditions += [f"r.{c} NOT IN (SELECT oid FROM {which})" for c, which in self._of(catalog)]
        if catalog.name in known.ONLY:
            conditions.append(f"({known.ONLY[catalog.name].format(r='r')})")
        number = "r.oid" if catalog.own_number else "0"
        of, part = f"'{catalog.name}'::regclass::oid", "0"
        if catalog.name == "pg_attribute":
            of, number, part = "'pg_class'::regclass::oid", "r.attrelid", "r.attnum"
        source = known.INSTEAD.get(catalog.name, catalog.name)
        shared = known.SHARED_ROWS.get(catalog.name, str(catalog.shared).lower()).format(r="r")
        return (
            f"SELECT '{catalog.name}', {of}, {number}, {part}, {self._name(catalog)}, {self._text(catalog)},"
            f" {shared} FROM {source} r WHERE {' AND '.join(conditions)}"
        )

    def _built_in(self, catalog: _Catalog) -> str:
        """Return the query of the digest over the rows that the server was set up with, as they lie there."""
        skipped = known.COLUMNS.get(catalog.name, {})
        compared = [
            name
            for name in catalog.columns
            if name not in skipped or skipped[name] == "part of the definition that the server writes"
        ]
        not_also = f" AND NOT ({known.ALSO[catalog.name].format(r='r')})" if catalog.name in known.ALSO else ""
        hidden = "".join(f" AND r.{c} NOT IN (SELECT oid FROM {which})" for c, which in self._of(catalog))
        only = " AND r.relkind <> 't'" if catalog.name == "pg_class" else ""
        return self._digest(catalog, f"r.{self._anchor(catalog)} < {_FIRST_MADE}{not_also}{hidden}{only}", compared)

    @staticmethod
    def _digest(catalog: _Catalog, which: str, columns: Iterable[str]) -> str:
        row = ", ".join(f"r.{name}::text" for name in columns)
        return (
            f"SELECT '{catalog.name}', 0::oid, 0::oid, 0, '{BUILT_IN}{catalog.name}', 'rows ' || count(*) || ', digest ' ||"
            f" sum(hashtextextended(concat_ws('|', {row}), 0)), false FROM {catalog.name} r WHERE {which} HAVING count(*) > 0"
        )

    def _anchor(self, catalog: _Catalog) -> str:
        """Return the column that tells what somebody made from what the server was set up with."""
        return "oid" if catalog.own_number else self.keys[catalog.name][0]

    def _of(self, catalog: _Catalog) -> Iterator[tuple[str, str]]:
        """Yield the columns by which a row belongs to a relation or a schema, and the list of those that are not compared."""
        for column in catalog.columns:
            target = self.refers.get(f"{catalog.name}.{column}")
            if catalog.columns[column] in ("oid", "regclass") and column != "reltoastrelid":
                if target == "pg_namespace":
                    yield column, "hidden_schema"
                elif target == "pg_class":
                    yield column, "hidden"
            if target in _HIDDEN_LISTS and column in (self.keys.get(catalog.name, ()) if catalog.name != "pg_proc" else ()):
                yield column, _HIDDEN_LISTS[target]
        if catalog.name == "pg_class":
            yield "oid", "hidden"
        elif catalog.name == "pg_namespace":
            yield "oid", "hidden_schema"

    def _name(self, catalog: _Catalog) -> str:
        """Return how a row is called; where it only adds to an object of another catalog, as that one is."""
        if catalog.name in known.NAMES:
            return known.NAMES[catalog.name].format(r="r")
        if catalog.own_number:
            return self._identified(catalog.name, "r.oid")
        key = self.keys[catalog.name][0]
        target = self.refers.get(f"{catalog.name}.{key}", catalog.name)
        if target in known.NAMES:
            return f"(SELECT {known.NAMES[target].format(r='o')} FROM {target} o WHERE o.oid = r.{key})"
        return self._identified(target, f"r.{key}")

    def _text(self, catalog: _Catalog) -> str:
        """Return what is recorded of a row: a line for each column that says something."""
        lines = [self._line(catalog, column, kind) for column, kind in catalog.columns.items()]
        return f"concat_ws(E'\\n', {', '.join(filter(None, lines)) or 'NULL'})"

    def _line(self, catalog: _Catalog, column: str, kind: str) -> str:
        full = f"{catalog.name}.{column}"
        if full not in known.WRITTEN and (column in known.COLUMNS.get(catalog.name, {}) or column == "oid"):
            return ""
        if full not in known.WRITTEN and column in self._in_name(catalog):
            return ""
        value, label = (
            self._value(catalog, column, kind),
            known.WORDS.get(full) or ("grants" if kind == "_aclitem" else _word(catalog, column)),
        )
        usual = known.USUAL.get(full, ())
        if kind == "bool" and full not in known.WRITTEN:
            said, when = (f"not {label}", f"NOT {value}") if usual == ("true",) else (label, value)
            return f"CASE WHEN {when} THEN '{said}' END"
        text = f"({value})::text"
        # what is left out must mean one thing: nothing, or the usual
        nothing = ("-",) if column in catalog.nullable or full in known.WRITTEN else usual or ("", "-", "0")
        for left_out in nothing:
            text = f"nullif({text}, '{left_out}')"
        # what continues a value is set in, so that each line that is not says something new
        return f"'{label} ' || replace({text}, E'\\n', E'\\n\\t')"

    def _in_name(self, catalog: _Catalog) -> tuple[str, ...]:
        """Return the columns that say nothing but what the row is called by."""
        key = self.keys.get(catalog.name, ())
        named = catalog.own_number or catalog.name in known.NAMES
        return tuple(column for column in (key if named else key[:1]) if f"{catalog.name}.{column}" not in known.NOT_IN_NAME)

    def _value(self, catalog: _Catalog, column: str, kind: str) -> str:
        full, at = f"{catalog.name}.{column}", f"r.{column}"
        if full in known.WRITTEN:
            return known.WRITTEN[full].format(r="r")
        if kind == "_aclitem":
            return self._grants(catalog, at)
        if target := self.refers.get(full):
            return self._named(target, at, kind)
        if relation := self.numbers.get(full):
            return self._columns_named(f"r.{relation}", at, kind)
        if kind in ("pg_node_tree", "anyarray"):
            self.unknown.append(f"{full} (a newer server writes it in a way that this version of gonogo does not know)")
            return "NULL"
        if kind == "bytea":
            return f"md5({at})"
        if kind.startswith("_"):
            return (
                f"(SELECT string_agg(o, ', ' ORDER BY {'o' if column.endswith(('options', 'config')) else 'n'})"
                f" FROM unnest({at}::text[]) WITH ORDINALITY u(o, n))"
            )
        return at

    def _grants(self, catalog: _Catalog, at: str) -> str:
        """Return a list of grants, where it is not what it would be without one."""
        owner = next((n for n in catalog.columns if n.endswith(("owner", "dba")) and f"{catalog.name}.{n}" in self.refers), None)
        letter = known.DEFAULT_GRANTS.get(catalog.name)
        sort = "(SELECT coalesce(string_agg(a::text, ', ' ORDER BY a::text), 'none') FROM unnest({}) a)"
        if letter is None or owner is None:
            return f"CASE WHEN {at} IS NOT NULL AND {at} <> '{{}}' THEN {sort.format(at)} END"
        usual = f"acldefault({letter.format(r='r')}, r.{owner})"
        return f"CASE WHEN {at} IS NOT NULL THEN nullif({sort.format(at)}, {sort.format(usual)}) END"

    def _named(self, target: str, at: str, kind: str) -> str:
        """Return the names of what one number, or a list of them, means."""
        if kind in ("oid", *known.CASTS.values(), "regproc"):
            return self._one(target, at)
        numbers = f"string_to_array({at}::text, ' ')::oid[]" if kind == "oidvector" else f"{at}::oid[]"
        one = self._one(target, "o")
        by = one if at == "r.polroles" else "n"
        return f"(SELECT string_agg({one}, ', ' ORDER BY {by}) FROM unnest({numbers}) WITH ORDINALITY u(o, n))"

    def _one(self, target: str, at: str) -> str:
        if target in known.CASTS:
            return (
                f"nullif({at}::oid::{known.CASTS[target]}::text, '-')" if at != "o" else f"{at}::oid::{known.CASTS[target]}::text"
            )
        # a number that leads nowhere is named as it is
        return f"CASE WHEN {at} <> 0 THEN coalesce({self._identified(target, at, bare=True)}, {at}::text) END"

    @staticmethod
    def _identified(target: str, at: str, *, bare: bool = False) -> str:
        words = "identity" if bare else "concat_ws(' ', type, identity)"
        return f"(SELECT {words} FROM pg_identify_object('{target}'::regclass, {at}, 0))"

    @staticmethod
    def _columns_named(relation: str, at: str, kind: str) -> str:
        name = f"(SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = {relation} AND attnum = {{}})"
        if kind in ("int2", "int4"):
            return name.format(at)
        numbers = f"string_to_array({at}::text, ' ')::int2[]" if kind == "int2vector" else f"{at}::int2[]"
        each = f"coalesce({name.format('k')}, 'an expression')"
        return f"(SELECT string_agg({each}, ', ' ORDER BY n) FROM unnest({numbers}) WITH ORDINALITY u(k, n))"


def _word(catalog: _Catalog, column: str) -> str:
    """Return a column's name without what all columns of its catalog begin with."""
    names = [name for name in catalog.columns if name != "oid"]
    common = 0
    while len(names) > 1 and len({name[: common + 1] for name in names}) == 1 and common < min(map(len, names)) - 1:
        common += 1
    return column[common:].lstrip("_") or column
