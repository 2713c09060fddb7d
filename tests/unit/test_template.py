from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import postgast
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from gonogo.errors import BadInput
from gonogo.planning.render_process import Form
from gonogo.planning.rendering import Rendering, Sql, batch_of, ident, literal
from gonogo.planning.templates import Templates

PAYLOADS = [
    "tame",
    "o'brien",
    "'",
    "''",
    "'''",
    "'; DROP TABLE users; --",
    "'; DROP TABLE users; SELECT '",
    "' OR '1'='1",
    "' OR 1=1 --",
    "' OR 1=1 /*",
    "' UNION SELECT password FROM users --",
    "') OR ('1'='1",
    "')); DROP TABLE users; --",
    "admin'--",
    "admin' #",
    "\\",
    "\\'",
    "\\\\'",
    "\\'; DROP TABLE users; --",
    "\\\\",
    "\\x27; DROP TABLE users; --",
    "\\047 OR 1=1 --",
    "\\u0027 OR 1=1 --",
    "E'\\''; DROP TABLE users",
    "U&'\\0027' UESCAPE '!'",
    "%27 OR 1=1 --",
    "%s",
    "%(name)s",
    "%%",
    "%",
    ":name",
    "::text",
    "$1",
    "$$",
    "$$; DROP TABLE users; $$",
    "$a$; COMMIT; $a$",
    '"',
    '""',
    '"; DROP TABLE users; --',
    'a"."b',
    'users" WHERE "a" = 1; --',
    "users; COMMIT",
    "users--",
    "users/*",
    "*/ DROP TABLE users /*",
    "/* comment */",
    "-- comment",
    "a\nb",
    "a\r\nDROP TABLE users;\r\n",
    "\n; COMMIT;\n",
    "\t",
    " ",
    "\\i /etc/passwd",
    "\n\\! ls\n",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "{{ name | literal }}",
    "select",
    "NULL",
    "true",
    "1; SELECT 1",
    "1e309",
    "\u02bc OR 1=1",
    "\u2019; DROP TABLE users",
    "\uff07 OR 1=1",
    "\u00bf'",
    "\ufeff",
    "\u202e'; --",
    "\U0001f4a3'",
    "\x01'",
    "\x1b[31m",
    "\x7f",
    "<script>alert('x')</script>",
    "gonogo.batch('')",
]


def rendered(folder: Path, text: str, variables: Mapping[str, Any] | None = None) -> str:
    (folder / "t.sql.j2").write_text(text, encoding="utf-8")
    return Rendering([folder]).render("t.sql.j2", str(folder / "t.sql.j2"), variables or {})


def only(sql: str) -> Any:
    tree = postgast.parse(sql)
    assert len(tree.stmts) == 1
    statement = tree.stmts[0].stmt
    assert statement.WhichOneof("node") == "select_stmt"
    return statement.select_stmt


def test_there_are_enough_payloads() -> None:
    assert len(set(PAYLOADS)) == len(PAYLOADS) >= 50


@pytest.mark.attack("templates")
@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_value_stays_a_value_whatever_it_says(payload: str, tmp_path: Path) -> None:
    text = "SELECT {{ x | literal }} FROM t WHERE a = {{ x | literal }} AND b IN {{ [x, 'b'] | literal }} -- {{ 1 }}\n"
    evil, tame = (rendered(tmp_path, text, {"x": x}) for x in (payload, "tame"))
    found = only(evil)
    assert found.target_list[0].res_target.val.a_const.sval.sval == payload
    both = found.where_clause.bool_expr.args
    assert both[0].a_expr.rexpr.a_const.sval.sval == payload
    assert [item.a_const.sval.sval for item in both[1].a_expr.rexpr.list.items] == [payload, "b"]
    assert postgast.fingerprint(evil) == postgast.fingerprint(tame)


@pytest.mark.attack("templates")
@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_name_stays_a_name_whatever_it_says(payload: str, tmp_path: Path) -> None:
    text = "SELECT {{ x | ident }} FROM {{ [x, x] | ident }} AS t WHERE {{ x | ident }} = 1"
    found = only(rendered(tmp_path, text, {"x": payload}))
    (column,) = found.target_list
    assert [part.string.sval for part in column.res_target.val.column_ref.fields] == [payload]
    (table,) = found.from_clause
    assert (table.range_var.schemaname, table.range_var.relname) == (payload, payload)
    assert found.where_clause.a_expr.lexpr.column_ref.fields[0].string.sval == payload


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60))
def test_any_text_is_read_back_as_it_was(text: str) -> None:
    assert only(f"SELECT {literal(text)}").target_list[0].res_target.val.a_const.sval.sval == text
    if 0 < len(text.encode()) <= 63:
        assert only(f"SELECT {ident(text)}").target_list[0].res_target.val.column_ref.fields[0].string.sval == text


def test_a_value_inside_a_string_or_a_comment_of_the_template_is_the_templates_own_mistake_and_shows(tmp_path: Path) -> None:
    sql = rendered(tmp_path, "SELECT '{{ x | literal }}'", {"x": "a"})
    assert sql == "SELECT ''a''"
    with pytest.raises(postgast.PgQueryError):
        postgast.parse(sql)


# identifiers


@pytest.mark.parametrize("name", ["", "x" * 64, "é" * 32, "a\0b", ["a", ""], ["ok", "x" * 64]])
def test_a_name_that_postgresql_would_cut_or_refuse_is_refused(name: object) -> None:
    with pytest.raises(UndefinedError, match=r"is not an identifier|longer than 63 bytes"):
        ident(name)


@pytest.mark.parametrize("name", ["x" * 63, "é" * 31, "a b", "Straße"])
def test_a_name_of_up_to_63_bytes_is_quoted(name: str) -> None:
    assert ident(name) == f'"{name}"'


def test_a_list_of_names_is_a_qualified_name() -> None:
    assert ident(["public", 'od"d']) == '"public"."od""d"'
    assert ident(("a", "b", "c")) == '"a"."b"."c"'


def test_a_dot_in_a_name_is_part_of_the_name() -> None:
    assert ident("public.t") == '"public.t"'


# values


@pytest.mark.parametrize(
    ("value", "sql"),
    [
        ("a", "'a'"),
        ("", "''"),
        (5, "5"),
        (-5, "-5"),
        (True, "true"),
        (False, "false"),
        (None, "NULL"),
        (1.5, "1.5"),
        ([], "()"),
        ([1, "a", None, True], "(1, 'a', NULL, true)"),
        ([[1, 2], [3]], "((1, 2), (3))"),
        (("a",), "('a')"),
        (float("nan"), "'NaN'::float8"),
    ],
)
def test_each_kind_of_value_has_its_way_of_writing(value: object, sql: str) -> None:
    assert literal(value).strip() == sql


@pytest.mark.parametrize("value", [{"a": 1}, {1, 2}, object(), (x for x in "ab"), range(3), ident, b"x".__class__])
def test_what_has_no_way_of_writing_is_refused(value: object) -> None:
    with pytest.raises(UndefinedError, match="cannot be written as a value of SQL"):
        literal(value)


@pytest.mark.parametrize("value", ["a\0b", ["a", "b\0"]])
def test_a_value_with_a_nul_is_refused(value: object) -> None:
    with pytest.raises(UndefinedError, match="contains a NUL byte"):
        literal(value)


def test_a_backslash_means_the_same_whatever_the_server_thinks_of_backslashes() -> None:
    assert literal("a\\b").strip() == r"E'a\\b'"


# what a template may write bare


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("{{ 5 }}", "5"),
        ("{{ 1.5 }}", "1.5"),
        ("{{ true }}", "true"),
        ("{{ 1 == 2 }}", "false"),
        ("10 -{{ n }}", "10 - -5"),
        ("10 - {{ n }}", "10 -  -5"),
        ("-{{ f }}", "- -0.5"),
        ("{{ n | abs }}", "5"),
        ("{{ xs | length }}", "2"),
        ("{% for x in xs %}{{ x | ident }}{% if not loop.last %}, {% endif %}{% endfor %}", '"a", "b"'),
        ("{{ [x, 'total'] | join('_') | ident }}", '"ai_total"'),
        ("{{ x | upper | literal }}", "'AI'"),
        ("{{ xs | literal }}", "('a', 'b')"),
        ("{{ batch }}", "gonogo.batch('')"),
        ("{{ batch_of('o') }}", "gonogo.batch('o')"),
        ("{% set y = x | ident %}{{ y }}", '"ai"'),
        ("{{ x | ident | string }}", '"ai"'),
        ("{# {{ nothing }} #}1", "1"),
        ("a\n", "a\n"),
    ],
)
def test_numbers_booleans_and_quoted_text_are_written(text: str, sql: str, tmp_path: Path) -> None:
    variables = {"n": -5, "f": -0.5, "xs": ["a", "b"], "x": "ai"}
    assert rendered(tmp_path, text, variables) == sql


def test_a_negative_number_never_begins_a_comment(tmp_path: Path) -> None:
    sql = rendered(tmp_path, "SELECT 10 -{{ n }}, 7", {"n": -5})
    assert len(only(sql).target_list) == 2


@pytest.mark.attack("templates")
@pytest.mark.parametrize(
    "text",
    [
        "{{ x }}",
        "{{ x ~ x }}",
        "{{ (x | literal) ~ '' }}",
        "{{ (x | literal) + '' }}",
        "{{ x | literal | replace('a', 'b') }}",
        "{{ x | literal | trim }}",
        "{{ x | literal | safe }}",
        "{{ x | literal | e }}",
        "{{ [x | literal] | join }}",
        "{{ (x | ident)[1:] }}",
        "{{ (x | ident) * 2 }}",
        "{{ '%s' | format(x | literal) }}",
        "{% set y %}{{ x | literal }}{% endset %}{{ y }}",
        "{% macro m() %}{{ x | literal }}{% endmacro %}{{ m() }}",
        "{{ [x] }}",
        "{{ {'a': x} }}",
        "{{ none }}",
        "{{ x | length | string }}",
        "{{ x.upper }}",
        "{{ range }}",
        "{% if true %}{{ x }}{% endif %}",
        "{% with y = x %}{{ y }}{% endwith %}",
    ],
)
def test_no_other_text_is_written_bare(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"t\.sql\.j2:1: template: a bare \w+ in SQL text"):
        rendered(tmp_path, text, {"x": "ai"})


@pytest.mark.attack("templates")
@pytest.mark.parametrize(
    "text",
    [
        "{{ ('{0}' | literal).format(x) }}",
        "{{ ('{a}' | literal).format(a=x) }}",
        "{{ ('{a}' | literal).format_map({'a': x}) }}",
        "{{ ('{0}' | ident).format(x) }}",
        "{{ (batch_of('{0}')).format(x) }}",
        "{% set f = ('{0}' | literal).format %}{{ f(x) }}",
        "{{ ('{0}' | literal)['format'](x) }}",
        "{{ ['{0}' | literal] | map(attribute='format') | first }}",
    ],
)
def test_a_value_put_into_quoted_text_is_not_written(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="a bare"):
        rendered(tmp_path, text, {"x": "'; DROP TABLE t; --"})


@pytest.mark.attack("templates")
@pytest.mark.parametrize(
    "text",
    [
        "{% filter replace('X', x) %}SELECT 'X'{% endfilter %}",
        "{% filter format(x) %}SELECT '%s'{% endfilter %}",
        "{% filter default(x, true) %}{% endfilter %}",
        "{% call '{0}'.format(x) %}{% endcall %}",
        "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{% filter upper %}a{% endfilter %}{% endcall %}",
        "{% if false %}{% filter upper %}a{% endfilter %}{% endif %}",
    ],
)
def test_a_block_whose_output_nobody_quotes_does_not_exist(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="what it yields is not quoted"):
        rendered(tmp_path, text, {"x": "$SECRET"})
    for form in get_args(Form):
        with pytest.raises(BadInput, match="what it yields is not quoted"):
            Rendering([tmp_path]).fill(text, {"x": "$SECRET"}, form)


#: templates that would take hours, or all memory, and what of them is said
WITHOUT_END = {
    "a power": ("{{ 10 ** (10 ** 8) }}", "takes"),
    "a power of powers": ("{{ 9 ** (9 ** (9 ** 9)) }}", "takes"),
    "a long text": ("{{ ('a' * 10 ** 10) | length }}", "memory"),
    "a wide text": ("{{ '%*d' | format(10 ** 10, 1) | length }}", "memory|too"),
    "a padded text": ("{{ 'a'.ljust(10 ** 10) | length }}", "memory"),
    "a text by its format": ("{{ '{:>10000000000}'.format('a') | length }}", "memory"),
    "a centred text": ("{{ 'a' | center(10 ** 10) | length }}", "memory"),
    "an indented text": ("{{ 'a' | indent(10 ** 10, true) | length }}", "memory"),
    "a list": ("{{ ([1] * 10 ** 10) | length }}", "memory"),
    "loops over text": (
        "{% set t = 'a' * 10000 %}{% for a in t %}{% for b in t %}{% for c in t %}{% endfor %}{% endfor %}{% endfor %}",
        "takes longer than 1 s",
    ),
    "a text that doubles": (
        "{% macro m(s, n) %}{% if n %}{% set _ = m(s ~ s, n - 1) %}{% endif %}{% endmacro %}{{ m('ab', 90) }}",
        "memory|takes",
    ),
    "one that calls itself": ("{% macro m() %}{% set _ = m() %}{% endmacro %}{{ m() }}", "recursion"),
    "one that includes itself": ("{% include 't.sql.j2' %}", "recursion"),
    "much output": (
        "{% for a in 'a' * 3000 %}{% for b in 'b' * 3000 %}xxxxxxxxxx{% endfor %}{% endfor %}",
        "grows beyond 5,000,000",
    ),
    "a replacement": ("{% set t = 'a' * 10 ** 6 %}{{ t | replace('a', t) | length }}", "memory"),
    "a product of lists": ("{% for a in range(100000) %}{% for b in 'x' * 100000 %}{% endfor %}{% endfor %}", "takes longer"),
}


@pytest.mark.attack("templates")
@pytest.mark.parametrize("name", WITHOUT_END)
def test_a_template_without_an_end_ends_with_one_line(name: str, tmp_path: Path) -> None:
    text, said = WITHOUT_END[name]
    (tmp_path / "t.sql.j2").write_text(text, encoding="utf-8")
    (tmp_path / "good.sql.j2").write_text("SELECT {{ 1 }}", encoding="utf-8")
    templates = Templates([tmp_path])
    with pytest.raises(BadInput, match=f"(?i)template: .*({said})") as error:
        templates.render("t.sql.j2", {})
    assert str(tmp_path / "t.sql.j2") in str(error.value)
    assert templates.render("good.sql.j2", {}) == "SELECT 1", "the next one is rendered all the same"


@pytest.mark.attack("templates")
def test_a_command_renders_in_a_copy_of_itself_which_ends_with_it_and_keeps_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "t.sql.j2").write_text("SELECT {{ x | literal }}", encoding="utf-8")
    (tmp_path / "bad.sql.j2").write_text("{{ 9 ** (9 ** (9 ** 9)) }}", encoding="utf-8")
    script = """
import os, sys
from pathlib import Path
from gonogo.errors import BadInput
from gonogo.planning import render_process
from gonogo.planning.templates import Templates
kept = open(sys.argv[1] + "/held", "w")
templates = Templates([Path(sys.argv[1])])
print(templates.render("t.sql.j2", {"x": "a"}))
copy = render_process._kept[0]._process
held = Path(f"/proc/{copy.pid}/fd").iterdir()
print(type(copy).__name__, sorted(os.readlink(file).split(":")[0] for file in held))
try:
    templates.render("bad.sql.j2", {})
except BadInput as error:
    print(error.problems[0].message)
print(templates.render("t.sql.j2", {"x": "b"}), render_process._kept[0]._process.pid)
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    first, copy, refused, last = done.stdout.splitlines()
    assert first == "SELECT 'a'"
    assert copy == "_Copy ['/dev/null', 'pipe', 'pipe']"
    assert "takes more than a template may" in refused
    assert last.startswith("SELECT 'b' ")
    assert not Path(f"/proc/{last.split()[-1]}").exists(), "it ended with the command"


def test_what_is_imported_for_the_first_template_is_not_its_doing(tmp_path: Path) -> None:
    """A machine that is slow, or keeps no bytecode, needs a second for that alone."""
    (tmp_path / "t.sql.j2").write_text("SELECT {{ x | literal }}", encoding="utf-8")
    script = """
import sys, time
from pathlib import Path
from gonogo.planning.templates import Templates
class Slow:
    def find_spec(self, name, path=None, target=None):
        ends = time.process_time() + 1.5
        while name == "jinja2" and time.process_time() < ends:
            pass
assert "jinja2" not in sys.modules
sys.meta_path.insert(0, Slow())
print(Templates([Path(sys.argv[1])]).render("t.sql.j2", {"x": "a"}))
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout == "SELECT 'a'\n", done.stderr


def test_a_quoted_text_is_marked_and_what_is_made_of_it_is_not() -> None:
    assert type(literal("a")) is type(ident("a")) is type(batch_of()) is Sql
    assert type(literal("a").upper()) is str
    assert type(literal("a") + ident("a")) is str


@pytest.mark.attack("templates")
@pytest.mark.parametrize("name", ["self", "cycler", "joiner", "namespace", "lipsum", "dict", "config", "request", "os"])
def test_a_template_knows_no_more_than_its_inputs(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="template: "):
        rendered(tmp_path, "{{ " + name + " | literal }}")


def test_a_mark_for_a_batch_quotes_its_alias() -> None:
    assert batch_of("o'x").replace(" ", "") == "gonogo.batch('o''x')"
    assert len(postgast.parse(f"SELECT {batch_of(chr(39) + '); DROP TABLE t; --')}").stmts) == 1


# files


def test_a_file_that_is_no_template_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("SELECT '{{ x }}', '{% y %}', 5 % 2 -- {#\n", encoding="utf-8")
    assert Templates([tmp_path]).render("a.sql", {}) == "SELECT '{{ x }}', '{% y %}', 5 % 2 -- {#\n"


def test_the_first_root_that_has_a_file_gives_it(tmp_path: Path) -> None:
    for root in ("mine", "theirs"):
        (tmp_path / root).mkdir()
    (tmp_path / "theirs" / "a.sql").write_text("SELECT 'theirs'")
    (tmp_path / "theirs" / "b.sql").write_text("SELECT 'theirs'")
    (tmp_path / "mine" / "a.sql").write_text("SELECT 'mine'")
    templates = Templates([tmp_path / "mine", tmp_path / "theirs"])
    assert [templates.render(name, {}) for name in ("a.sql", "b.sql")] == ["SELECT 'mine'", "SELECT 'theirs'"]
    assert templates.used == {str(tmp_path / "mine" / "a.sql"), str(tmp_path / "theirs" / "b.sql")}


def test_a_name_means_a_file_of_the_runbooks_own_folder_first(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "a.sql").write_text("SELECT 1")
    (tmp_path / "b.sql").write_text("SELECT 1")
    (tmp_path / "r" / "a.sql").write_text("SELECT 2")
    templates = Templates([tmp_path])
    assert templates.find("a.sql", "r") == ["r/a.sql"]
    assert templates.find("b.sql", "r") == ["b.sql"]
    assert templates.find("r/a.sql", "r") == ["r/a.sql"]


def test_a_glob_means_its_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("020_b.sql", "010_a.sql", "100_c.sql", "010_a.undo.sql", "notes.txt"):
        (tmp_path / name).write_text("SELECT 1")
    assert Templates([tmp_path]).find("[0-9]*_?.sql") == ["010_a.sql", "020_b.sql", "100_c.sql"]


def test_what_a_template_includes_counts_as_used(tmp_path: Path) -> None:
    (tmp_path / "part.sql").write_text("{{ x | literal }}")
    (tmp_path / "a.sql.j2").write_text("SELECT {% include 'part.sql' %}")
    templates = Templates([tmp_path])
    assert templates.render("a.sql.j2", {"x": "a"}).split() == ["SELECT", "'a'"]
    assert templates.used == {str(tmp_path / "a.sql.j2"), str(tmp_path / "part.sql")}


def test_a_name_in_messages_says_when_its_lines_are_not_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.sql.j2").write_text("{% for i in range(2) %}\nSELECT {{ i }};\n{% endfor %}\n")
    templates = Templates([tmp_path])
    assert templates.render("a.sql.j2", {}) == "\nSELECT 0;\n\nSELECT 1;\n\n"
    assert templates.label("a.sql.j2", "\nSELECT 0;\n\nSELECT 1;\n\n") == f"{tmp_path / 'a.sql.j2'} (rendered)"
    assert templates.label("a.sql.j2", "SELECT 0;\n\n\n") == str(tmp_path / "a.sql.j2")


def test_rendering_is_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "a.sql.j2").write_text("{% for k, v in m | dictsort %}{{ k | ident }} = {{ v | literal }};{% endfor %}")
    templates = Templates([tmp_path])
    first = templates.render("a.sql.j2", {"m": {"b": 2, "a": 1}})
    assert first == templates.render("a.sql.j2", {"m": {"a": 1, "b": 2}}) == '"a" = 1;"b" = 2;'


@pytest.mark.attack("templates")
@pytest.mark.parametrize("text", ["${{ a }}", "$SEC{{ a }}", "${SEC{{ a }}", "x/$NAME{% if a %}1{% endif %}"])
def test_a_value_lengthens_no_variables_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match="a variable's name ends before a template"):
        Templates([tmp_path]).words(text, {"a": "RET"}, names_variables=True)


@pytest.mark.attack("templates")
def test_a_value_names_no_variable(tmp_path: Path) -> None:
    made = Templates([tmp_path]).words("$HOST/{{ a }}", {"a": "$SECRET ${X} $$"}, names_variables=True)
    assert made == "$HOST/$$SECRET $${X} $$$$"
