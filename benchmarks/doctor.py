"""What the doctor finds in changes that are wrong, and what it says against right ones; beside squawk, which only reads.

`uv run python benchmarks/doctor.py [SQUAWK]` prints a table and a line. SQUAWK is the path of squawk's program, which comes with
`pip install squawk-cli`.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

SCHEMA = """
CREATE EXTENSION citext;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE ROLE reader;
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, mail text UNIQUE,
  mood mood DEFAULT 'good', note text, at timestamptz DEFAULT now());
CREATE TABLE orders (id serial PRIMARY KEY, customer int REFERENCES customers ON DELETE CASCADE,
  total numeric(10,2) NOT NULL DEFAULT 0,
  state text CHECK (state IN ('new', 'done')), CONSTRAINT positive CHECK (total >= 0));
CREATE INDEX orders_by_customer ON orders (customer);
CREATE UNIQUE INDEX customers_by_name ON customers (lower(name));
CREATE VIEW open_orders AS SELECT id, customer FROM orders WHERE state = 'new';
CREATE MATERIALIZED VIEW totals AS SELECT customer, sum(total) AS total FROM orders GROUP BY customer;
CREATE FUNCTION vat(n numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT n * 0.2';
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note := NEW.note; RETURN NEW; END';
CREATE TRIGGER touched BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION touch();
CREATE POLICY all_of_them ON customers USING (true);
COMMENT ON TABLE orders IS 'what was ordered';
GRANT SELECT ON orders TO reader;
INSERT INTO customers SELECT g, 'name ' || g, 'm' || g || '@example', 'good', CASE WHEN g % 3 = 0 THEN NULL ELSE 'n' END
  FROM generate_series(1, 60) g;
INSERT INTO orders (customer, total, state) SELECT 1 + g % 60, g, CASE WHEN g % 2 = 0 THEN 'new' ELSE 'done' END
  FROM generate_series(1, 300) g;
"""


class Bad(NamedTuple):
    """A change that is wrong: what it is called, its two ways, and what must be said of it."""

    name: str
    up: str
    down: str
    kinds: tuple[str, ...]


BAD = [
    Bad(
        "a column comes back without its NOT NULL",
        "ALTER TABLE customers DROP COLUMN name",
        "ALTER TABLE customers ADD COLUMN name text",
        ("does not restore",),
    ),
    Bad("a NOT NULL is not given back", "ALTER TABLE customers ALTER name DROP NOT NULL", "SELECT 1", ("does not restore",)),
    Bad("a default is forgotten", "ALTER TABLE orders ALTER total DROP DEFAULT", "SELECT 1", ("does not restore",)),
    Bad(
        "another default",
        "ALTER TABLE orders ALTER total SET DEFAULT 5",
        "ALTER TABLE orders ALTER total SET DEFAULT 1",
        ("does not restore",),
    ),
    Bad("an index is forgotten", "DROP INDEX orders_by_customer", "SELECT 1", ("does not restore",)),
    Bad(
        "a unique index comes back plain",
        "DROP INDEX customers_by_name",
        "CREATE INDEX customers_by_name ON customers (lower(name))",
        ("does not restore",),
    ),
    Bad(
        "a key comes back without its cascade",
        "ALTER TABLE orders DROP CONSTRAINT orders_customer_fkey",
        "ALTER TABLE orders ADD CONSTRAINT orders_customer_fkey FOREIGN KEY (customer) REFERENCES customers",
        ("does not restore",),
    ),
    Bad(
        "a key comes back under another name",
        "ALTER TABLE orders DROP CONSTRAINT orders_customer_fkey",
        "ALTER TABLE orders ADD FOREIGN KEY (customer) REFERENCES customers ON DELETE CASCADE;"
        " ALTER TABLE orders RENAME CONSTRAINT orders_customer_fkey TO k",
        ("does not restore",),
    ),
    Bad(
        "a check comes back not validated",
        "ALTER TABLE orders DROP CONSTRAINT positive",
        "ALTER TABLE orders ADD CONSTRAINT positive CHECK (total >= 0) NOT VALID",
        ("does not restore",),
    ),
    Bad(
        "a type is left",
        "CREATE TYPE color AS ENUM ('red'); ALTER TABLE orders ADD color color",
        "ALTER TABLE orders DROP COLUMN color",
        ("does not restore",),
    ),
    Bad("a value of an enum is left", "ALTER TYPE mood ADD VALUE 'odd'", "SELECT 1", ("does not restore",)),
    Bad(
        "a function is not what it was",
        "CREATE OR REPLACE FUNCTION vat(n numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT n * 0.25'",
        "CREATE OR REPLACE FUNCTION vat(n numeric) RETURNS numeric LANGUAGE sql AS 'SELECT n * 0.2'",
        ("does not restore",),
    ),
    Bad("a trigger is forgotten", "DROP TRIGGER touched ON customers", "SELECT 1", ("does not restore",)),
    Bad(
        "a trigger comes back switched off",
        "DROP TRIGGER touched ON customers",
        "CREATE TRIGGER touched BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION touch();"
        " ALTER TABLE customers DISABLE TRIGGER touched",
        ("does not restore",),
    ),
    Bad(
        "a view loses a column",
        "DROP VIEW open_orders",
        "CREATE VIEW open_orders AS SELECT id FROM orders WHERE state = 'new'",
        ("does not restore",),
    ),
    Bad(
        "a materialized view comes back empty",
        "DROP MATERIALIZED VIEW totals",
        "CREATE MATERIALIZED VIEW totals AS SELECT customer, sum(total) AS total FROM orders GROUP BY customer WITH NO DATA",
        ("does not restore",),
    ),
    Bad("a policy is forgotten", "DROP POLICY all_of_them ON customers", "SELECT 1", ("does not restore",)),
    Bad("row security stays on", "ALTER TABLE orders ENABLE ROW LEVEL SECURITY", "SELECT 1", ("does not restore",)),
    Bad("a comment is forgotten", "COMMENT ON TABLE orders IS NULL", "SELECT 1", ("does not restore",)),
    Bad("a grant is forgotten", "REVOKE SELECT ON orders FROM reader", "SELECT 1", ("does not restore",)),
    Bad("a grant is left", "GRANT INSERT ON customers TO reader", "SELECT 1", ("does not restore",)),
    Bad(
        "a table's name comes back, an index's does not",
        "ALTER TABLE customers RENAME TO clients; ALTER INDEX customers_by_name RENAME TO clients_by_name",
        "ALTER TABLE clients RENAME TO customers",
        ("does not restore",),
    ),
    Bad("rows stay changed", "UPDATE orders SET state = 'done'", "SELECT 1", ("does not restore",)),
    Bad("rows are gone", "DELETE FROM orders WHERE id > 200", "SELECT 1", ("does not restore",)),
    Bad(
        "rows come back without a value",
        "CREATE TABLE kept AS SELECT id, name FROM customers; UPDATE customers SET note = 'x'",
        "UPDATE customers SET note = NULL; DROP TABLE kept",
        ("does not restore",),
    ),
    Bad("the undo does not parse", "CREATE TABLE a (id int)", "DROP TABEL a", ("rollback fails", "refused")),
    Bad("the undo drops what is not there", "CREATE TABLE b (id int)", "DROP TABLE bb", ("rollback fails",)),
    Bad("nothing reverses it", "CREATE TABLE c (id int)", "", ("no rollback",)),
    Bad("a table that is not there", "ALTER TABLE nowhere ADD a int", "SELECT 1", ("refused",)),
    Bad("it does not parse", "CREATE TABL d (id int)", "SELECT 1", ("refused",)),
    Bad("an index on what is not immutable", "CREATE INDEX by_day ON customers ((at::date))", "DROP INDEX by_day", ("refused",)),
    Bad(
        "NOT NULL where rows have none",
        "ALTER TABLE customers ALTER note SET NOT NULL",
        "ALTER TABLE customers ALTER note DROP NOT NULL",
        ("refused",),
    ),
    Bad(
        "a check that rows break",
        "ALTER TABLE orders ADD CONSTRAINT small CHECK (total < 10)",
        "ALTER TABLE orders DROP CONSTRAINT small",
        ("refused",),
    ),
    Bad("a unique index over equal values", "CREATE UNIQUE INDEX u ON orders (state)", "DROP INDEX u", ("refused",)),
    Bad("an index that stops writers", "CREATE INDEX by_total ON orders (total)", "DROP INDEX by_total", ("blocks",)),
    Bad(
        "a key that is validated at once",
        "ALTER TABLE orders ADD CONSTRAINT k FOREIGN KEY (id) REFERENCES orders (id)",
        "ALTER TABLE orders DROP CONSTRAINT k",
        ("blocks",),
    ),
    Bad(
        "NOT NULL that looks at every row",
        "ALTER TABLE orders ALTER customer SET NOT NULL",
        "ALTER TABLE orders ALTER customer DROP NOT NULL",
        ("blocks",),
    ),
    Bad(
        "a type that writes every row again",
        "ALTER TABLE customers ALTER id TYPE bigint",
        "ALTER TABLE customers ALTER id TYPE int",
        ("blocks",),
    ),
    Bad(
        "a value of its own for each row",
        "ALTER TABLE orders ADD code uuid DEFAULT gen_random_uuid()",
        "ALTER TABLE orders DROP COLUMN code",
        ("blocks",),
    ),
    Bad(
        "a short lock that is held while rows change",
        "ALTER TABLE orders ADD seen bool; UPDATE orders SET seen = true",
        "ALTER TABLE orders DROP COLUMN seen",
        ("blocks",),
    ),
]


def good(number: int, chance: random.Random) -> tuple[str, str]:
    """Return a change that is right, forward and back; a moment's lock is no fault."""
    n, table = number, chance.choice(["orders", "customers"])
    shapes = [
        (
            f"CREATE TABLE t{n} (id int PRIMARY KEY, a text, b int CHECK (b > 0)); CREATE INDEX i{n} ON t{n} (a)",
            f"DROP TABLE t{n}",
        ),
        (f"ALTER TABLE {table} ADD c{n} text", f"ALTER TABLE {table} DROP COLUMN c{n}"),
        (f"ALTER TABLE {table} ADD c{n} int NOT NULL DEFAULT {n}", f"ALTER TABLE {table} DROP COLUMN c{n}"),
        (f"CREATE INDEX CONCURRENTLY i{n} ON {table} (id)", f"DROP INDEX CONCURRENTLY i{n}"),
        (f"ALTER TABLE {table} ADD CONSTRAINT k{n} CHECK (id > 0) NOT VALID", f"ALTER TABLE {table} DROP CONSTRAINT k{n}"),
        (f"CREATE VIEW v{n} AS SELECT * FROM {table}", f"DROP VIEW v{n}"),
        (
            f"CREATE TYPE e{n} AS ENUM ('a', 'b'); CREATE DOMAIN d{n} AS text CHECK (VALUE <> '')",
            f"DROP DOMAIN d{n}; DROP TYPE e{n}",
        ),
        (f"CREATE FUNCTION f{n}(a int) RETURNS int LANGUAGE sql AS 'SELECT a + {n}'", f"DROP FUNCTION f{n}(int)"),
        (f"CREATE SEQUENCE s{n} START {n + 1}; COMMENT ON SEQUENCE s{n} IS 'x'", f"DROP SEQUENCE s{n}"),
        (
            f"CREATE TRIGGER g{n} BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION touch()",
            f"DROP TRIGGER g{n} ON customers",
        ),
        (
            f"ALTER TABLE customers ADD c{n} int; COMMENT ON COLUMN customers.c{n} IS '{n}'",
            f"ALTER TABLE customers DROP COLUMN c{n}",
        ),
        (f"CREATE TABLE t{n} (id int); GRANT UPDATE ON t{n} TO reader", f"DROP TABLE t{n}"),
        (
            f"ALTER TABLE orders ALTER total SET DEFAULT {n}",
            f"ALTER TABLE orders ALTER total SET DEFAULT {n - 20 if n >= 20 else 0}",
        ),
        (
            (
                f"ALTER TABLE customers RENAME {'note' if n < 20 else f'note{n - 20}'} TO note{n};"
                " CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
            ),
            f"ALTER TABLE customers RENAME note{n} TO {'note' if n < 20 else f'note{n - 20}'};"
            " CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS "
            + ("'BEGIN NEW.note := NEW.note; RETURN NEW; END'" if n < 20 else "'BEGIN RETURN NEW; END'"),
        ),
        (
            f"ALTER INDEX {'orders_by_customer' if n < 20 else f'i{n - 20}'} RENAME TO i{n}",
            f"ALTER INDEX i{n} RENAME TO {'orders_by_customer' if n < 20 else f'i{n - 20}'}",
        ),
        (f"CREATE SCHEMA n{n}; CREATE TABLE n{n}.t (id int GENERATED ALWAYS AS IDENTITY)", f"DROP SCHEMA n{n} CASCADE"),
        (
            f"INSERT INTO customers (id, name, mail) VALUES ({1000 + n}, 'x{n}', 'x{n}')",
            f"DELETE FROM customers WHERE id = {1000 + n}",
        ),
        (f"CREATE POLICY p{n} ON orders FOR SELECT USING (id > {n})", f"DROP POLICY p{n} ON orders"),
        (
            f"ALTER TABLE orders ALTER state SET STATISTICS {n + 1}",
            f"ALTER TABLE orders ALTER state SET STATISTICS {n - 19 if n >= 20 else -1}",
        ),
        (
            f"ALTER TABLE orders SET (fillfactor = {50 + n // 10})",
            f"ALTER TABLE orders SET (fillfactor = {50 + n // 10 - 2})" if n >= 20 else "ALTER TABLE orders RESET (fillfactor)",
        ),
    ]
    return shapes[number % len(shapes)]


def write(folder: Path, name: str, up: str, down: str) -> Path:
    """Write a change as golang-migrate has it; return its file."""
    (folder / f"{name}.up.sql").write_text(up + ";\n")
    if down:
        (folder / f"{name}.down.sql").write_text(down + ";\n")
    return folder / f"{name}.up.sql"


def doctor(folder: Path, schema: Path) -> list[dict[str, Any]]:
    """Return what the doctor says against a folder: errors and warnings."""
    command = [sys.executable, "-m", "gonogo", "doctor", str(folder), "--schema", str(schema), "--superuser", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 10), done.stderr
    return [finding for finding in json.loads(done.stdout)["findings"] if finding["level"] != "note"]


def squawk(program: str, *files: Path) -> set[str]:
    """Return the files against which squawk says something."""
    done = subprocess.run([program, "--reporter", "Json", *map(str, files)], capture_output=True, text=True, check=False)
    return {Path(finding["file"]).name for finding in json.loads(done.stdout or "[]")}


def main() -> None:
    """Examine all, and print what was found."""
    beside = sys.argv[1] if len(sys.argv) > 1 else ""
    with tempfile.TemporaryDirectory(prefix="gonogo-bench-") as top:
        schema = Path(top) / "schema.sql"
        schema.write_text(SCHEMA)
        began, rows, found_by_squawk = time.monotonic(), [], 0
        for number, bad in enumerate(BAD):
            folder = Path(top) / f"bad{number}"
            folder.mkdir()
            file = write(folder, "1_change", bad.up, bad.down)
            said = {finding["kind"] for finding in doctor(folder, schema)}
            other = bool(squawk(beside, file)) if beside else False
            found_by_squawk += other
            rows.append((bad.name, bool(said & set(bad.kinds)), sorted(said), other))
        took = time.monotonic() - began
        print("| wrong | found | as | squawk says something of the change |\n|---|---|---|---|")
        for name, found, kinds, other in rows:
            print(f"| {name} | {'yes' if found else '**no**'} | {', '.join(kinds)} | {'yes' if other else 'no'} |")
        print(f"\n{sum(row[1] for row in rows)} of {len(rows)} found; squawk: {found_by_squawk}; {took:.0f} s\n")
        folder, chance = Path(top) / "good", random.Random(7)  # noqa: S311
        folder.mkdir()
        files = [write(folder, f"{n:03}_change", *good(n, chance)) for n in range(200)]
        began = time.monotonic()
        accused = doctor(folder, schema)
        took = time.monotonic() - began
        others = squawk(beside, *files) if beside else set()
        names = {Path(finding["file"]).name.split("_")[0] for finding in accused}
        print(f"of 200 right ones accused: {len(names)} ({len(names) / 2:g} %) in {took:.0f} s; squawk: {len(others)}")
        for finding in accused:
            print(f"- {Path(finding['file']).name}:{finding['line']}: {finding['kind']}: {finding['what']}")


if __name__ == "__main__":
    main()
