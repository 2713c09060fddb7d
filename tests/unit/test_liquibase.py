"""Liquibase's formatted SQL is read changeset by changeset, with its lines; what is not understood is refused or named."""

from __future__ import annotations

from pathlib import Path

import pytest

from gonogo.errors import BadInput
from gonogo.migrations.changes import Migrations, require_no_placeholder
from gonogo.migrations.folders import read_folder

HEAD = "--liquibase formatted sql\n\n"
BOTH = (
    HEAD
    + """\
--changeset anna:orders splitStatements:false
--comment: the orders
CREATE TABLE orders (id int);
--rollback DROP TABLE orders;

--changeset ben:fill runOnChange:true
INSERT INTO orders VALUES (1);
/* liquibase rollback
DELETE FROM orders;
ANALYZE orders;
*/
"""
)


def read(folder: Path, **files: str) -> Migrations:
    for name, text in files.items():
        (folder / f"{name}.sql").write_text(text)
    return read_folder(folder)


def test_each_changeset_is_a_change_with_its_rollback_and_lines_stay_where_they_are(tmp_path: Path) -> None:
    found = read(tmp_path, one=BOTH)
    assert found.form == "Liquibase"
    orders, fill = found.changes
    assert [(c.name, c.title, c.path) for c in found.changes] == [
        ("anna-orders", "anna:orders", "one.sql"),
        ("ben-fill", "ben:fill", "one.sql"),
    ]
    assert [piece.text for piece in orders.back] == ["DROP TABLE orders;\n"]
    assert [(piece.text, piece.line) for piece in fill.back] == [("DELETE FROM orders;\nANALYZE orders;\n", 10)]
    for change, word in ((orders, "CREATE TABLE"), (fill, "INSERT INTO")):
        (piece,) = change.forward
        line = piece.line + piece.text[: piece.text.index(word)].count("\n")
        assert BOTH.splitlines()[line - 1].startswith(word)
    assert "DELETE" not in fill.forward[0].text
    assert [piece.line for piece in orders.back] == [6]


@pytest.mark.parametrize("word", ["not required", "empty", "NOT REQUIRED "])
def test_what_needs_no_rollback_says_so(tmp_path: Path, word: str) -> None:
    (change,) = read(tmp_path, one=f"{HEAD}--changeset a:1\nANALYZE t;\n--rollback {word}\n").changes
    assert (change.back, change.nothing_to_reverse) == ([], True)


def test_several_lines_of_rollback_are_all_of_it(tmp_path: Path) -> None:
    text = f"{HEAD}--changeset a:1\nCREATE TABLE t ();\n--rollback DELETE FROM t;\n--rollback DROP TABLE t;\n"
    (change,) = read(tmp_path, one=text).changes
    assert [piece.text for piece in change.back] == ["DELETE FROM t;\n", "DROP TABLE t;\n"]


@pytest.mark.parametrize(
    ("changeset", "said"),
    [
        ("--changeset a:1 endDelimiter:/\nSELECT 1\n/", "one.sql:3: endDelimiter '/' is not read"),
        ("--changeset a:1\nSELECT 1;\n--rollback changesetId:2 changesetAuthor:b", "one.sql:5: a rollback that is another"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(tmp_path: Path, changeset: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(tmp_path, one=HEAD + changeset)
    assert said in str(caught.value)


def test_what_is_for_another_database_or_a_context_and_what_orders_the_files_is_named(tmp_path: Path) -> None:
    (tmp_path / "master.xml").write_text("<databaseChangeLog><includeAll path='.'/></databaseChangeLog>")
    text = f"{HEAD}--changeset a:1 dbms:oracle,h2\nSELECT 1;\n--changeset a:2 dbms:postgresql context:test\nSELECT 2;\n"
    found = read(tmp_path, one=text, two="SELECT 3;\n")
    assert [change.name for change in found.changes] == ["a-2"]
    assert [(file.name, why) for file, why in found.left_out] == [
        ("one.sql", "changeset a:1 is for oracle, h2"),
        ("one.sql", "changeset a:2 is read, though it is only for the context test"),
        ("master.xml", "a changelog that is not SQL: the files are read in the order of their names"),
        ("two.sql", "it is not called as Liquibase calls its migrations"),
    ]


def test_a_parameter_of_the_tool_is_found_with_its_line_and_nothing_is_made_of_it(tmp_path: Path) -> None:
    found = read(tmp_path, one=f"{HEAD}--changeset a:1\n\nCREATE TABLE ${{name}} ();\n")
    assert [(Path(file).name, line, words) for file, line, words in found.placeholders] == [("one.sql", 5, "${name}")]
    with pytest.raises(BadInput, match=r"one\.sql:5: \$\{name\} is filled in by its tool"):
        require_no_placeholder(found)
