"""What was found says how bad it is, in the forms that people and code hosts read, and nothing in it drives these."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import JUnitXml
from sarif_pydantic import Sarif

from gonogo.cli.reviews import level_of, outcome_of, path_for_the_host, wanted_forms
from gonogo.core.model.finding import FINDING_KINDS, Finding, Level, worst
from gonogo.core.text.findings.forms import FORMS
from gonogo.core.text.findings.review import Page, Review
from gonogo.errors import BadInput, Exit
from gonogo.importers.accepted import NAME, accept, read_accepted
from gonogo.importers.trial import Examined

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 11, 30)


def finding(
    kind: str = "blocks", file: str = "db/1_a.sql", line: int = 3, what: str = "takes SHARE on t", **more: Any
) -> Finding:
    return Finding(kind=kind, file=file, line=line, what=what, **more)


def review(*findings: Finding, files: tuple[str, ...] = (), pages: tuple[Page, ...] = ()) -> Review:
    return Review(
        command="doctor", version="1.2.3", subject="db", summary="2 changes", findings=findings, files=files, pages=pages
    )


ALL = [
    *(finding(kind=kind, what=f"one {kind}", line=number) for number, kind in enumerate(FINDING_KINDS, 1)),
    finding(what="small", lower=Level.NOTE),
    finding(what="known", accepted="40 rows (2026-11-30)"),
    finding(),
    finding(line=9),
]


def test_sarif_holds_every_finding_at_its_level_and_its_line_and_suppresses_what_was_accepted() -> None:
    log = Sarif.model_validate_json(FORMS["sarif"](review(*ALL)))
    results = log.runs[0].results or []
    rules = {rule.id for rule in log.runs[0].tool.driver.rules or []}
    assert [result.message.text for result in results] == [each.what for each in ALL]
    assert [str(result.level and result.level.value) for result in results] == [each.level.value for each in ALL]
    assert {result.rule_id for result in results} == rules
    places = [result.locations[0].physical_location for result in results if result.locations]
    assert [(p.artifact_location.uri, p.region.start_line) for p in places if p and p.artifact_location and p.region] == [
        (each.file, each.line) for each in ALL
    ]
    told = json.loads(FORMS["sarif"](review(*ALL)))["runs"][0]["results"]
    assert [each["message"]["text"] for each in told if "suppressions" in each] == ["known"]
    assert len({each["partialFingerprints"]["gonogo/v1"] for each in told}) == len(told), "no two share a mark"


def test_a_finding_that_only_moved_keeps_its_mark() -> None:
    was, now = (json.loads(FORMS["gitlab"](review(finding(line=line))))[0]["fingerprint"] for line in (3, 30))
    assert was == now


def test_junit_has_a_case_for_each_file_and_fails_where_there_is_an_error_or_a_warning() -> None:
    told = FORMS["junit"](
        review(
            finding(), finding(file="db/2_b.sql", lower=Level.NOTE), finding(file="db/3.sql", accepted="x"), files=("db/4.sql",)
        )
    )
    (suite,) = JUnitXml.fromstring(told.partition("\n")[2].encode())
    assert (suite.tests, suite.failures) == (4, 1)
    assert [case.name for case in suite if case.result] == ["db/1_a.sql"]


def test_gitlab_has_what_its_report_asks_for_and_nothing_that_was_accepted() -> None:
    told = json.loads(FORMS["gitlab"](review(*ALL)))
    assert len(told) == len(ALL) - 1
    assert {each["severity"] for each in told} <= {"info", "minor", "major", "critical", "blocker"}
    assert all(each.keys() == {"description", "check_name", "fingerprint", "severity", "location"} for each in told)
    assert told[0]["location"] == {"path": "db/1_a.sql", "lines": {"begin": 1}}


def test_github_gets_a_line_for_each_finding_and_no_text_can_begin_another_one() -> None:
    hostile = finding(what="a\n::error::b\r%0A", file="db/a,b:c.sql")
    lines = FORMS["github"](review(hostile, finding(kind="refused"), finding(lower=Level.NOTE))).splitlines()
    assert lines == [
        "::warning file=db/a%2Cb%3Ac.sql,line=3,title=gonogo doctor%3A blocks::a%0A::error::b%0D%250A",
        "::error file=db/1_a.sql,line=3,title=gonogo doctor%3A refused::takes SHARE on t",
        "::notice file=db/1_a.sql,line=3,title=gonogo doctor%3A blocks::takes SHARE on t",
        "2 changes",
    ]


def test_markdown_begins_with_a_mark_by_which_its_comment_is_found_again() -> None:
    told = FORMS["markdown"](review(*ALL, pages=(Page(title="The plan", text="# A plan"),))).splitlines()
    assert told[0] == "<!-- gonogo doctor: db -->"
    assert told[1] == "### ❌ gonogo doctor: db"
    assert FORMS["markdown"](review(finding(accepted="x"))).splitlines()[1] == "### ✅ gonogo doctor: db"
    assert told[-6:] == ["<details>", "<summary>The plan</summary>", "", "# A plan", "", "</details>"]


@given(st.text(max_size=60), st.text(max_size=30), st.sampled_from(sorted(FORMS)))
def test_no_text_breaks_a_form(what: str, file: str, form: str) -> None:
    told = FORMS[form](review(finding(what=what, file=file or "x", fix=what)))
    if form in ("sarif", "gitlab"):
        json.loads(told)
    elif form == "junit":
        JUnitXml.fromstring(told.partition("\n")[2].encode())
    elif form == "github":
        assert told.count("\n") == 2
    else:
        assert len([line for line in told.split("\n") if line.startswith("| ")]) == 2, "a head and a row"


@pytest.mark.parametrize(
    ("found", "least", "code"),
    [
        ([], Level.NOTE, Exit.DONE),
        ([finding()], Level.WARNING, Exit.NO_GO),
        ([finding()], Level.ERROR, Exit.DONE),
        ([finding(kind="refused")], Level.ERROR, Exit.NO_GO),
        ([finding(kind="refused")], None, Exit.DONE),
        ([finding(accepted="known")], Level.NOTE, Exit.DONE),
        ([finding(lower=Level.NOTE)], Level.WARNING, Exit.DONE),
        ([finding(lower=Level.NOTE)], Level.NOTE, Exit.NO_GO),
    ],
)
def test_a_command_fails_from_the_level_that_was_asked_for(found: list[Finding], least: Level | None, code: Exit) -> None:
    assert outcome_of(review(*found), least) is code


def test_what_is_wrong_with_the_options_is_said_with_what_there_is() -> None:
    with pytest.raises(BadInput, match="there are markdown, sarif, junit, github, gitlab"):
        wanted_forms(["html"], json=False)
    with pytest.raises(BadInput, match="only one form can be printed"):
        wanted_forms(["github", "junit"], json=False)
    with pytest.raises(BadInput, match="there are error, warning, note, and never"):
        level_of("bad")
    assert wanted_forms(["github", "junit=a.xml"], json=False) == [("github", None), ("junit", Path("a.xml"))]
    assert level_of("never") is None


def test_files_are_named_from_the_top_of_their_repository(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert path_for_the_host(str(tmp_path / "db" / "1.sql")) == "db/1.sql"


# what was accepted


def accepted_in(folder: Path, text: str, *findings: Finding) -> list[Finding]:
    (folder / NAME).write_text(text, encoding="utf-8")
    found = Examined(form="numbered files", changes=1, findings=list(findings))
    accept(found, read_accepted(folder), str(folder / NAME), TODAY)
    return found.findings


ENTRY = "accepted:\n  - {kind: blocks, file: 1_a.sql, reason: 40 rows, date: 2026-11-30MORE}\n"


def test_what_was_accepted_counts_no_more_and_says_why(tmp_path: Path) -> None:
    found = accepted_in(tmp_path, ENTRY.replace("MORE", ""), finding(), finding(kind="refused"), finding(file="db/2.sql"))
    assert [each.accepted for each in found] == ["40 rows (2026-11-30)", "", ""]
    assert worst(found) is Level.ERROR


@pytest.mark.parametrize(("part", "counts"), [("SHARE on t", True), ("SHARE on other", False)])
def test_an_entry_may_mean_only_some_findings_of_a_file(tmp_path: Path, part: str, counts: bool) -> None:
    found = accepted_in(tmp_path, ENTRY.replace("MORE", f", what: {part}"), finding())
    assert bool(found[0].accepted) is counts


def test_an_entry_that_fits_nothing_or_whose_day_has_passed_is_named(tmp_path: Path) -> None:
    assert [each.kind for each in accepted_in(tmp_path, ENTRY.replace("MORE", ""))] == ["unused acceptance"]
    late = accepted_in(tmp_path, ENTRY.replace("MORE", ", until: 2026-11-29"), finding())
    assert [(each.kind, each.accepted) for each in late] == [("blocks", ""), ("not accepted any more", "")]
    assert accepted_in(tmp_path, ENTRY.replace("MORE", ", until: 2026-11-30"), finding())[0].accepted, "its last day counts"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            ENTRY.replace("kind: blocks", "kind: block").replace("MORE", ""),
            ":2:6: accepted[0].kind: 'block' is no kind of finding",
        ),
        (ENTRY.replace("reason: 40 rows, ", "").replace("MORE", ""), "the key 'reason' is missing"),
        (ENTRY.replace("MORE", ", untill: 2026-11-30"), "did you mean 'until'?"),
        (ENTRY.replace("2026-11-30MORE", "soon"), "'soon' is no day"),
        ("accepted: [\n", "is not YAML"),
    ],
)
def test_a_mistake_in_the_file_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        accepted_in(tmp_path, text, finding())
    assert said in str(caught.value)
    assert f"{tmp_path / NAME}" in str(caught.value)


# what is documented


def test_the_page_of_the_doctor_names_every_kind_with_its_level() -> None:
    page = (ROOT / "docs" / "concepts" / "doctor.md").read_text(encoding="utf-8")
    told = {
        kind: (level, means) for kind, level, means in re.findall(r"^\| ([a-z ]+) \| ([a-z]+) \| (.+) \|$", page, re.MULTILINE)
    }
    assert told == {kind: (row.level.value, row.means) for kind, row in FINDING_KINDS.items()}


@pytest.mark.parametrize(("schema", "file"), [("github-workflows", "github.yaml"), ("gitlab-ci", "gitlab.yaml")])
def test_the_workflows_are_what_their_hosts_take(schema: str, file: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(ROOT / "docs" / "ci" / file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
