"""The documentation says what the code does: examples load, commands exist, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from generate import runbook_page
from pydantic import TypeAdapter

from gonogo.cli.app import app
from gonogo.core.model import runbook
from gonogo.planning.load import check_runbook, parse_yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
INLINE = re.compile(r"`(gonogo [^`]+)`")
COMMANDS = typer.main.get_command(app)
MODELS = {runbook.Runbook.__name__, *runbook.Runbook.model_json_schema()["$defs"]}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> Iterator[str]:
    return (body for language, body in FENCE.findall(text_of(page)) if language in languages)


def prose(page: Path) -> str:
    return FENCE.sub("", text_of(page))


def at(data: Any, path: tuple[str, ...]) -> list[Any]:
    """Return what a path leads to; `*` is each item of a list or a mapping."""
    found = [data]
    for key in path:
        found = [
            item
            for value in found
            for item in ((value.values() if isinstance(value, dict) else value) if key == "*" else [value[key]])
        ]
    return found


def example_of(section: runbook_page.Section) -> list[Any]:
    """Return what the page's own example of a part holds of it."""
    name = section.model.__name__
    written = text_of(DOCS / "runbook.md").split(f"\n## {name}\n")[1].split("\n## ")[0]
    return [
        item
        for language, body in FENCE.findall(written)
        if language == "yaml"
        for item in at(parse_yaml(body, name)[0], section.path)
    ]


def test_the_reference_is_what_the_model_says() -> None:
    written = text_of(DOCS / "runbook.md")
    assert written == runbook_page.runbook_page(), "docs/runbook.md is not what the model says: write it again with `just docs`"


def test_the_reference_has_a_section_for_every_part_of_the_model() -> None:
    assert {section.model.__name__ for section in runbook_page.SECTIONS} == MODELS


@pytest.mark.parametrize("section", runbook_page.SECTIONS, ids=lambda section: section.model.__name__)
def test_every_field_has_a_description_and_a_row(section: runbook_page.Section) -> None:
    written = text_of(DOCS / "runbook.md").split(f"\n## {section.model.__name__}\n")[1].split("\n## ")[0]
    for name, field in section.model.model_fields.items():
        assert field.description, f"{section.model.__name__}.{name} has no description"
        assert f"\n| `{name}` | " in written


@pytest.mark.parametrize("section", runbook_page.SECTIONS, ids=lambda section: section.model.__name__)
def test_every_field_occurs_in_an_example_that_the_model_takes(section: runbook_page.Section) -> None:
    examples = example_of(section)
    for example in examples:
        section.model.model_validate(example)
    shown = {key for example in examples for key in example}
    assert shown == set(section.model.model_fields)


@pytest.mark.parametrize("section", runbook_page.SECTIONS, ids=lambda section: section.model.__name__)
def test_where_a_table_says_text_or_a_list_the_model_takes_both(section: runbook_page.Section) -> None:
    written = text_of(DOCS / "runbook.md").split(f"\n## {section.model.__name__}\n")[1].split("\n## ")[0]
    for name in re.findall(r"^\| `(\w+)` \| text, or a list;", written, re.MULTILINE):
        field = section.model.model_fields[name]
        as_the_model_has_it: Any = Annotated[field.annotation, *field.metadata, "as the model has it"]
        adapter: TypeAdapter[object] = TypeAdapter(as_the_model_has_it)
        assert adapter.validate_python("= 0") == adapter.validate_python(["= 0"]) == ("= 0",)


# the runbook of extending.md uses kinds that it adds first: tests/acceptance/test_extending.py runs it
@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "extending.md"], ids=name_of)
def test_every_example_of_yaml_reads_and_whole_runbooks_are_good(page: Path) -> None:
    for body in blocks(page, "yaml"):
        data, _, problems = parse_yaml(body, name_of(page))
        assert not problems
        assert isinstance(data, dict)
        if next(iter(data)) == "runbook":
            check_runbook(body, name_of(page))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_part_of_a_runbook_in_an_example_is_one_that_the_model_takes(page: Path) -> None:
    """Fragments too: phases, tasks, steps, checks and the others are validated by their own models."""
    for body in blocks(page, "yaml"):
        data, _, _ = parse_yaml(body, name_of(page))
        assert isinstance(data, dict)
        if next(iter(data)) == "runbook":
            continue
        for section in runbook_page.SECTIONS:
            if section.path and section.path[0] in data:
                items = at(data, section.path)
                if section.model is runbook.Phase:
                    # an example of a phase's gate need not repeat its tasks
                    items = [{"tasks": [{"task": "any"}], **item} for item in items]
                for item in items:
                    section.model.model_validate(item)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.is_file(), f"{name_of(page)} links to {link}"
        if anchor:
            assert anchor in {slug(heading) for heading in HEADING.findall(prose(target))}, f"{name_of(page)} links to {link}"


def slug(heading: str) -> str:
    """Return the anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", [p for p in PAGES if p.is_relative_to(DOCS)], ids=name_of)
def test_every_page_can_be_reached_from_the_index(page: Path) -> None:
    links = {(DOCS / link.partition("#")[0]).resolve() for link in LINK.findall(prose(DOCS / "index.md")) if ":" not in link}
    assert page == DOCS / "index.md" or page in links


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_in_a_block_exists_with_its_options_and_arguments(page: Path) -> None:
    for body in blocks(page, "console", "sh", "bash"):
        for line in body.splitlines():
            for command in commands_of(line):
                command_of(command, whole=True)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_in_a_sentence_exists_with_its_options(page: Path) -> None:
    for text in INLINE.findall(prose(page)):
        command_of(shlex.split(text)[1:], whole=False)


def commands_of(line: str) -> Iterator[list[str]]:
    """Yield the words after each `gonogo` of a line that somebody types."""
    for part in re.split(r"&&|\|", line.removeprefix("$ ")):
        words = shlex.split(part, comments=True)
        words = words[2:] if words[:2] == ["uv", "run"] else words
        if words[:1] == ["gonogo"]:
            yield words[1:]


def command_of(words: list[str], *, whole: bool) -> None:
    """Find a command and check its options; a whole one is parsed as if it were typed."""
    found: Any = COMMANDS
    rest = list(words)
    while rest and hasattr(found, "commands") and not rest[0].startswith("-"):
        assert rest[0] in found.commands, f"there is no command gonogo {' '.join(words)}"
        found = found.commands[rest.pop(0)]
    known = {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help", "-h"}
    for word in rest:
        if word.startswith("-"):
            assert word.partition("=")[0] in known, f"gonogo {' '.join(words)}: there is no {word}"
    if whole and not {"--help", "-h", "--version"} & set(rest):
        found.make_context("gonogo", rest)


def test_a_command_that_does_not_exist_is_found_out() -> None:
    with pytest.raises(AssertionError, match="no command"):
        command_of(["launch", "hello"], whole=False)
    with pytest.raises(AssertionError, match="there is no --gently"):
        command_of(["run", "hello", "--gently"], whole=False)
    with pytest.raises(Exception, match=r"[Mm]issing"):
        command_of(["run"], whole=True)


def test_every_demand_of_the_plans_has_its_row_and_every_test_that_a_row_names_is_there() -> None:
    rows = re.findall(r"^\| R(\d+) \| (.+?) \| (.+?) \| (.*?) ?\|$", text_of(DOCS / "requirements.md"), re.MULTILINE)
    assert [int(row[0]) for row in rows] == list(range(1, 114))
    for number, _, met, shown in rows:
        assert re.match(r"(met|no|partly: .+)$", met), f"R{number}"
        named = re.findall(r"`([\w/]+\.py)`", shown)
        assert named or met == "no", f"R{number} names no test"
        for name in named:
            assert (DOCS.parent / "tests" / name).is_file(), f"R{number}: {name}"


def test_every_path_that_the_architecture_names_exists_and_every_room_is_named() -> None:
    page = text_of(DOCS / "architecture.md")
    named = set(re.findall(r"`((?:gonogo|flows|checks|docs)/[\w/.]*)`", page))
    assert not [path for path in named if not (ROOT / path).exists()]
    rooms = {f"{file.parent.relative_to(ROOT)}/" for file in (ROOT / "gonogo").rglob("__init__.py")} - {"gonogo/", "gonogo/core/"}
    rooms |= {f"gonogo/{file.name}" for file in (ROOT / "gonogo").glob("*.py")} - {"gonogo/__init__.py", "gonogo/__main__.py"}
    rooms |= {"flows/", "checks/"}
    table = page.split("## Rooms")[1].split("## Where to find what")[0]
    assert not [room for room in rooms if f"`{room}`" not in table]
