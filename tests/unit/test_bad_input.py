# ruff: noqa: E501 - a case is a line
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.prepared import prepare

from gonogo.core.model.runbook import Runbook
from gonogo.core.plan.plan import Plan
from gonogo.errors import BadInput, Exit, Problem
from gonogo.planning.load import MAX_BYTES, load_runbook
from gonogo.planning.open import problems_of
from gonogo.planning.planner import prepare as plan
from gonogo.planning.prepared import Prepared
from gonogo.project import Project

RUNBOOK = """\
runbook: example
targets: {demo: {database: embedded}}
inputs: {name: {default: o'brien}, many: {default: [1, 2]}, map: {default: {a: 1}}}
people: {anna: {name: Anna, roles: [lead]}}
phases:
  - phase: one
    gate: {go_if: [orphans]}
    tasks:
      - task: first
        owner: lead
        takes: 15m
        steps:
          - {sql: a.sql.j2, undo: nothing}
checks:
  orphans: {sql: check.sql, expect: "= 0"}
"""
TEMPLATE = "SELECT {{ name | literal }}, {{ many[0] }}, {{ map.a }};\n"


@dataclass
class AProject:
    """A small project on disk; everything in it is good until a case breaks it."""

    root: Path
    files: dict[str, bytes] = field(default_factory=dict)

    def write(self) -> Path:
        for name, content in self.files.items():
            file = self.root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return self.root / "runbooks" / "r.yaml"

    def prepare(self, **given: Any) -> Prepared:
        file = self.write()
        return prepare(load_runbook(file), file, Project(root=self.root), **given)

    def runbook(self, text: str | bytes) -> AProject:
        self.files["runbooks/r.yaml"] = text.encode() if isinstance(text, str) else text
        return self

    def template(self, text: str | bytes, name: str = "a.sql.j2") -> AProject:
        self.files[f"sql_templates/example/{name}"] = text.encode() if isinstance(text, str) else text
        return self


def project(root: Path) -> AProject:
    made = AProject(root).runbook(RUNBOOK).template(TEMPLATE).template("SELECT 0", "check.sql")
    return made.template("SELECT 9", "extra/b.sql")


def refused(made: AProject, **given: Any) -> BadInput:
    with pytest.raises(BadInput) as raised:
        made.prepare(**given)
    assert isinstance(raised.value, BadInput)
    assert raised.value.exit is Exit.BAD_INPUT
    assert raised.value.problems
    assert all(problem.message.strip() for problem in raised.value.problems)
    return raised.value


def said(error: BadInput, made: AProject) -> str:
    return str(error).replace(f"{made.root}/", "")


def test_an_input_that_nothing_uses_is_refused_and_one_that_another_target_uses_is_not(tmp_path: Path) -> None:
    made = project(tmp_path).template("SELECT {{ name | literal }}, {{ map.a }} -- many\n")
    assert said(refused(made), made) == (
        "runbooks/r.yaml:3:36: inputs.many: no template uses this input, so whoever gives it changes nothing: use it, or leave it out"
    )
    elsewhere = "\n          - {sql: extra/c.sql.j2, undo: nothing, only_on: [other]}"
    text = RUNBOOK.replace("{demo: {database: embedded}}", "{demo: {database: embedded}, other: {database: embedded}}")
    made.runbook(text.replace("undo: nothing}", "undo: nothing}" + elsewhere)).template("SELECT {{ many[0] }}", "extra/c.sql.j2")
    assert made.prepare().plan.target == "demo"


@pytest.mark.parametrize(
    "text",
    [
        # a branch that is not taken today
        "{% if map.a > 5 %}{% include 'example/c.sql.j2' %}{% endif %} SELECT {{ name | literal }}, {{ map.a }}",
        "{%- set part = 'example/c.sql.j2' -%}{% if map.a > 5 %}{% include part %}{% endif %} SELECT {{ name | literal }}, {{ map.a }}",
    ],
)
def test_what_a_template_may_take_in_uses_an_input_too(text: str, tmp_path: Path) -> None:
    made = project(tmp_path).template(text).template("SELECT {{ many[0] }}", "c.sql.j2")
    assert made.prepare().plan.target == "demo"


def test_the_example_is_good_until_it_is_broken(tmp_path: Path) -> None:
    assert project(tmp_path).prepare().plan.steps[0].scripts[0].source == "example/a.sql.j2"


# what is wrong with the runbook: its text is edited, and the message begins with the place


EDITS: Mapping[str, tuple[str, str, str]] = {
    # name: what is replaced, by what, and what is said
    "a missing key": ("runbook: example\n", "", "runbooks/r.yaml:1:1: the key 'runbook' is missing"),
    "a missing key of a part": ("{name: Anna, roles: [lead]}", "{roles: [lead]}", ":4:10: people.anna: the key 'name' is missing"),
    "an input in program text": (
        "- {sql: a.sql.j2, undo: nothing}", '- {run: [sh, -c, "deploy {{ name }}"], undo: nothing}', "phases[0].tasks[0].steps[0].run: 'deploy {{ name }}': an input would be program text here"
    ),
    "an input in the program text of an undo": (
        "- {sql: a.sql.j2, undo: nothing}", '- {run: [deploy, "{{ name }}"], undo: [bash, -c, "{{ name }}"]}', "steps[0].undo: '{{ name }}': an input would be program text here"
    ),
    "two people with one key": (
        "{anna: {name: Anna, roles: [lead]}}", '{anna: {name: Anna, roles: [lead], key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB a"}, ben: {name: Ben, key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB b"}}', "people.ben.key: anna has this key already"
    ),
    "a key that is none": ("roles: [lead]", "roles: [lead], key: ssh-rsa AAAA", "people.anna.key: it is no public key as `gonogo people key` shows it"),
    "a missing list": ("phases:\n", "phazes:\n", "r.yaml:5:1: phazes: the key 'phazes' is not known here; did you mean 'phases'?"),
    "an unknown key with a near one": ("owner: lead", "ownr: lead", "did you mean 'owner'?"),
    "an unknown key without a near one": ("takes: 15m", "colour: red", ":11:9: phases[0].tasks[0].colour: the key 'colour' is not known"),
    "an unknown key says which there are": ("expect:", "zzz:", "there are about, sql, time, calls, query, equal"),
    "a wrong type": ("targets: {demo: {database: embedded}}", "targets: [demo]", ":2:1: targets: input should be a valid mapping; found a list"),
    "text where a list of parts is wanted": ("        steps:\n          - {sql: a.sql.j2, undo: nothing}", "        steps: 5", ":12:9: phases[0].tasks[0].steps"),
    "a number where text is wanted": ("name: Anna", "name: 5", ":4:17: people.anna.name: input should be a valid string; found 5"),
    "nothing where text is wanted": ("owner: lead", "owner:", ":10:9: phases[0].tasks[0].owner: input should be a valid string; found nothing"),
    "an empty list of tasks": ("inputs:", "targetz: {}\ninputs:", "did you mean 'targets'?"),
    "no target at all": ("{demo: {database: embedded}}", "{}", ":2:1: targets: mapping should have at least 1 item"),
    "a name in capitals": ("task: first", "task: First", ":9:9: phases[0].tasks[0].task: 'First' is not a name here: write lower-case"),
    "a key that is not a name": ("{demo:", "{Demo!:", ":2:11: targets.Demo!: 'Demo!' is not a name here"),
    "a zone that is not": ("inputs:", "schedule: {zone: Europe/Roma}\ninputs:", ":3:12: schedule.zone: 'Europe/Roma' is not a time zone"),
    "a start that is no time": ("inputs:", "schedule: {start: soon}\ninputs:", ":3:1: schedule: 'soon' is not a date and time"),
    "a start that does not exist": ("inputs:", 'schedule: {zone: Europe/Rome, start: "2025-03-30T02:30"}\ninputs:', ":3:1: schedule: 2025-03-30T02:30 does not exist in Europe/Rome"),
    "a start that exists twice": ("inputs:", 'schedule: {zone: Europe/Rome, start: "2025-10-26T02:30"}\ninputs:', "exists twice in Europe/Rome: the clocks go back; add an offset"),
    "an end_by that is no time": ("inputs:", 'schedule: {end_by: "25:61"}\ninputs:', ":3:1: schedule: "),
    "a start beyond the calendar": ("inputs:", 'schedule: {start: "9999-12-31T23:59"}\ninputs:', "its times are outside the years 1 to 9999"),
    "a duration without a unit": ("takes: 15m", "takes: 15", ":11:9: phases[0].tasks[0].takes: 15 is not a duration: write a number and a unit"),
    "a duration beyond measure": ("takes: 15m", "takes: 99999999999d", ":11:9: phases[0].tasks[0].takes: '99999999999d' is longer"),
    "a task that lasts beyond the calendar": ("takes: 15m", "takes: 9999999d", "its times are outside the years 1 to 9999"),
    "an offset without T+": ("takes: 15m", "at: 15m", ":11:9: phases[0].tasks[0].at: '15m' is not an offset: write T+"),
    "a circular order": ("phases:\n", "phases:\n  - phase: zero\n    tasks: [{task: a, after: b}, {task: b, after: c}, {task: c, after: a}]\n", ":7:5: phases[0].tasks: the order is circular: "),
    "a task after itself": ("takes: 15m", "after: first", ":8:5: phases[0].tasks: the order is circular: first after first"),
    "an unknown task to come after": ("takes: 15m", "after: zeroth", "task 'first' comes after 'zeroth', which this phase does not have"),
    "a task twice": ("      - task: first", "      - {task: first}\n      - task: first", ":10:9: phases[0].tasks[1].task: the task 'first' is given twice"),
    "a task twice in two phases": ("phases:\n", "phases:\n  - {phase: zero, tasks: [{task: first}]}\n", "phases[1].tasks[0].task: the task 'first' is given twice"),
    "a phase twice": ("phases:\n", "phases:\n  - {phase: one, tasks: [{task: zeroth}]}\n", ":7:5: phases[1].phase: the phase 'one' is given twice"),
    "a step twice": ("- {sql: a.sql.j2, undo: nothing}", "- {step: s, sql: a.sql.j2, undo: nothing}\n          - {step: s, check: orphans}", ":14:14: phases[0].tasks[0].steps[1].step: the step 's' is given twice"),
    "a key twice": ("        takes: 15m", "        takes: 15m\n        takes: 20m", ":12:9: phases[0].tasks[0]: the key 'takes' is given twice"),
    "a key twice at the top": ("inputs:", "runbook: other\ninputs:", ":3:1: the key 'runbook' is given twice"),
    "an unknown owner": ("owner: lead", "owner: lid", ":10:9: phases[0].tasks[0].owner: the person or role 'lid' is not defined; did you mean 'lead'?"),
    "an unknown blocker": ("inputs:", "updates: {blockers: [nobody]}\ninputs:", "updates.blockers[0]: the person or role 'nobody' is not defined; there are anna, lead"),
    "an unknown check in a gate": ("go_if: [orphans]", "go_if: [orphan]", ":7:20: phases[0].gate.go_if[0]: the check 'orphan' is not defined; did you mean 'orphans'?"),
    "an unknown check in a step": ("sql: a.sql.j2, undo: nothing", "check: [orphans, lost]", "phases[0].tasks[0].steps[0].check[1]: the check 'lost' is not defined"),
    "an unknown check in verify": ("    gate:", "    verify: lost\n    gate:", ":7:5: phases[0].verify[0]: the check 'lost' is not defined; there are orphans"),
    "an unknown check in the baseline": ("inputs:", "baseline: [lost]\ninputs:", ":3:12: baseline[0]: the check 'lost' is not defined"),
    "an unknown check in the proof": ("inputs:", "rollback: {prove: lost}\ninputs:", "rollback.prove[0]: the check 'lost' is not defined"),
    "a watched check that cannot roll it back": ("    gate:", "    watch: [orphans]\n    gate:", ":7:13: phases[0].watch[0]: the check 'orphans' has no roll_back_if"),
    "a step for a target that is not there": ("sql: a.sql.j2, undo", "only_on: [gone], sql: a.sql.j2, undo", "phases[0].tasks[0].steps[0].only_on[0]: the target 'gone' is not defined"),
    "two kinds of step": ("sql: a.sql.j2, undo", "sql: a.sql.j2, check: orphans, undo", ":13:13: phases[0].tasks[0].steps[0]: a step does exactly one of sql, backfill, run, http, check, confirm, wait, migrations; this one has sql and check"),
    "no kind of step": ("sql: a.sql.j2, undo", "undo", "this one has none of them"),
    "two kinds of check": ("{sql: check.sql,", "{sql: check.sql, rows: [t],", ":15:3: checks.orphans: a check asks exactly one of sql, time, calls, query, equal, rows, checksum, orphans, values, sound, objects, structure, same_type, buffers, statements, plans, throughput, activity, http, prometheus, run, own; this one has sql and rows"),
    "no kind of check": ("{sql: check.sql,", "{", ":15:3: checks.orphans: a check asks exactly one of"),
    "a step that names no script": ("sql: a.sql.j2", "sql: []", ":13:13: phases[0].tasks[0].steps[0]: sql: an empty list names nothing"),
    "a step that names no check": ("sql: a.sql.j2, undo: nothing", "check: []", "check: an empty list names nothing"),
    "an undo that names no script": ("undo: nothing", "undo: []", "undo: an empty list names nothing; write `nothing`"),
    "a check that names no table": ("sql: check.sql", "checksum: []", ":15:3: checks.orphans: checksum: an empty list names nothing"),
    "a threshold that cannot be read": ('expect: "= 0"', 'expect: "about 0"', ":15:29: checks.orphans.expect[0]: 'about 0' is not a threshold: write a comparison"),
    "a threshold of an unknown metric": ('expect: "= 0"', 'expect: "p97 < 5"', "names the metric 'p97'"),
    "more breaches than samples": ('expect: "= 0"', 'roll_back_if: "> 5 in 4 of 3"', "asks for 4 of 3"),
    "several samples where one is judged": ('expect: "= 0"', 'expect: "= 0 in 2 of 3"', "expect: '= 0 in 2 of 3' asks for several samples"),
    "a metric that only a latency has": ('expect: "= 0"', 'expect: "p95 <= 5"', "'p95 <= 5' names the metric 'p95', and this is a `sql` check, which has its value only"),
    "a rollback for what is as it was": ('expect: "= 0"', "roll_back_if: unchanged", "roll_back_if: `unchanged` would roll back when nothing changed"),
    "a done_if that is no SQL": ("undo: nothing", 'undo: nothing, done_if: "SELEC 1"', 'steps[0].done_if:1:1: SQL: syntax error at or near "SELEC"'),
    "an at_least without a number": ('expect: "= 0"', "at_least: many", "at_least: 'many' does not start with a whole number"),
    "an at_least that only looks like a number": ('expect: "= 0"', "at_least: ² calls", "does not start with a whole number"),
    "no such no_data": ('expect: "= 0"', "no_data: shrug", "input should be 'hold', 'roll back' or 'ignore'; found 'shrug'"),
    "a batch of no rows": ("sql: a.sql.j2, undo", "backfill: {table: t, sql: a.sql.j2, batch: 0}, undo", "backfill.batch: input should be greater than or equal to 1; found 0"),
    "a progress beyond the end": ("inputs:", "updates: {progress: [50, 100]}\ninputs:", ":3:26: updates.progress[1]: input should be less than 100; found 100"),
    "a default of a wrong type": ("name: {default: o'brien}", "name: {type: integer, default: o'brien}", ":3:10: inputs.name: the input 'name' is to be integer; found \"o'brien\""),
    "a default that is no choice": ("name: {default: o'brien}", "name: {default: x, choices: [a, b]}", "the input 'name' is one of a, b; found 'x'"),
    "a default beyond its bounds": ("many: {default: [1, 2]}", "many: {default: 7, max: 5}", "the input 'many' is to be at most 5; found 7"),
    "a tag": ("name: {default: o'brien}", "name: {default: !!python/object/apply:os.system [ls]}", ":3:26: the tag tag:yaml.org,2002:python/object/apply:os.system is not used"),
    "a local tag": ("database: embedded", "database: !env X", "the tag !env is not used in runbooks"),
    "an alias that holds itself": ("many: {default: [1, 2]}", "many: {default: &a [*a]}", "an alias holds itself"),
    "an alias that is not": ("[1, 2]", "*nowhere", "is not YAML: found undefined alias"),
    "a second document": ("checks:\n", "---\nchecks:\n", ":14:1: a second document begins here; a runbook is one"),
    "a list as a key": ("inputs:", "? [a, b]\n: c\ninputs:", ":3:3: a key is a plain word"),
    "a tab for layout": ("    tasks:", "\ttasks:", ":8:1: is not YAML: while scanning"),
    "a quote that is not closed": ('"= 0"', '"= 0', "is not YAML: while scanning a quoted scalar found unexpected end of stream"),
    "a bell": ("Anna", "An\x07na", "is not YAML: unacceptable character #x0007"),
    "half a surrogate": ("name: Anna", 'name: "\\uD800"', "is not YAML: while parsing a quoted scalar found invalid Unicode"),
    "an unknown role that decides": ("go_if: [orphans]", "approve: {roles: [lead, leed]}", ":7:36: phases[0].gate.approve.roles[1]: the person or role 'leed' is not defined; did you mean 'lead'?"),
    "an unknown role with authority": ("inputs:", "rollback: {authority: {roles: boss}}\ninputs:", ":3:24: rollback.authority.roles[0]: the person or role 'boss' is not defined; there are anna, lead"),
    "a request that reverses SQL": ("undo: nothing", "undo: {url: http://x}", ":13:13: phases[0].tasks[0].steps[0]: undo: a request reverses an `http` step only; this is a `sql` step"),
    "a script that reverses a request": ("{sql: a.sql.j2, undo: nothing}", "{http: http://x, undo: a.sql.j2}", ":13:13: phases[0].tasks[0].steps[0]: undo: what reverses a request is a request: {method: DELETE, url: ...}, or `nothing`"),
    "a misspelt request that reverses": ("{sql: a.sql.j2, undo: nothing}", "{http: http://x, undo: {url: http://x, methd: PUT}}", ":13:52: phases[0].tasks[0].steps[0].undo.methd: the key 'methd' is not known here; did you mean 'method'?"),
    "a day of a phase that is none": ("  - phase: one\n", "  - phase: one\n    at: tomorrow\n", ":7:5: phases[0].at: 'tomorrow' is not a date and time"),
    "a day of a phase that the clock skips": ("phases:\n  - phase: one\n", "schedule: {zone: Europe/Rome}\nphases:\n  - phase: one\n    at: 2025-03-30T02:30\n", "phases[0].at: "),
    "a check for a target that is not there": ('expect: "= 0"}', 'expect: "= 0", only_on: demon}', "checks.orphans.only_on[0]: the target 'demon' is not defined; did you mean 'demo'?"),
    "a criterion with two answers": ("inputs:", "success: [{criterion: well, check: orphans, budget: downtime}]\ninputs:", "success[0]: a criterion is answered by exactly one of `check`, `item` and `budget`"),
    "a bare value in a query": ("sql: check.sql, expect", 'query: "SELECT {{ name }}", expect', "checks.orphans.query: template: a bare str in SQL text; pass it through `| ident` or `| literal`"),
    "a query that names nothing": ("sql: check.sql, expect", 'query: "SELECT {{ nme | literal }}", expect', "checks.orphans.query: template: 'nme' is undefined"),
    "a setting that names nothing": ("sql: check.sql, expect", 'sql: check.sql, settings: {app.x: "{{ nme }}"}, expect', "checks.orphans.settings: template: 'nme' is undefined"),
    "an unknown role that overrides": ("inputs:", "schedule: {override: [anna, boss]}\ninputs:", ":3:29: schedule.override[1]: the person or role 'boss' is not defined; there are anna, lead"),
    "an unknown owner of a box before": ("go_if: [orphans]", "confirm: [{item: backup, owner: lad}]", ":7:37: phases[0].gate.confirm[0].owner: the person or role 'lad' is not defined; did you mean 'lead'?"),
    "an unknown owner of a box after": ("    gate:", "    confirm: [{item: reports, owner: boss}]\n    gate:", ":7:31: phases[0].confirm[0].owner: the person or role 'boss' is not defined"),
    "an unknown owner of a step's box": ("sql: a.sql.j2, undo: nothing", "confirm: [{item: backup}, {item: call, owner: boss}]", ":13:53: phases[0].tasks[0].steps[0].confirm[1].owner: the person or role 'boss' is not defined"),
    "a quorum that nobody can reach": ("go_if: [orphans]", "approve: {roles: [lead], quorum: 2}", ":7:37: phases[0].gate.approve.quorum: nobody can reach it: 2 people are asked for, and 1 could agree"),
    "a quorum of one person with two names": ("go_if: [orphans]", "approve: {roles: [lead, anna], quorum: 2}", "phases[0].gate.approve.quorum: nobody can reach it: 2 people are asked for, and 1 could agree"),
    "an authority that nobody can reach": ("inputs:", "rollback: {authority: {roles: [lead], quorum: 3}}\ninputs:", ":3:39: rollback.authority.quorum: nobody can reach it: 3 people are asked for, and 1 could agree"),
    "a quorum of nobody": ("go_if: [orphans]", "approve: {roles: [lead], quorum: 0}", ":7:37: phases[0].gate.approve.quorum: input should be greater than or equal to 1; found 0"),
    "a quorum of half a person": ("go_if: [orphans]", "approve: {roles: [lead], quorum: 1.5}", ":7:37: phases[0].gate.approve.quorum: input should be a valid integer, got a number with a fractional part; found 1.5"),
    "a decision of no role": ("go_if: [orphans]", "approve: {roles: []}", ":7:22: phases[0].gate.approve.roles: "),
    "a decision without roles": ("go_if: [orphans]", "approve: {quorum: 1}", ":7:12: phases[0].gate.approve: the key 'roles' is missing"),
    "a decision in no time": ("go_if: [orphans]", "approve: {roles: [lead], within: 0s}", "phases[0].gate.approve.within: input should be greater than"),
    "an unknown key of a decision": ("go_if: [orphans]", "approve: {roles: [lead], quorom: 1}", ":7:37: phases[0].gate.approve.quorom: the key 'quorom' is not known here; did you mean 'quorum'?"),
    "a box twice": ("go_if: [orphans]", "confirm: [{item: backup}, {item: backup}]", ":7:39: phases[0].gate.confirm[1].item: the item 'backup' is given twice; give each its own name"),
    "a box twice, before and after": ("    gate: {", "    confirm: [{item: backup}]\n    gate: {confirm: [{item: backup}], ", "phases[0].confirm[0].item: the item 'backup' is given twice"),
    "a box twice, at the gate and in a step": ("phases:\n", "phases:\n  - {phase: zero, gate: {confirm: [{item: backup}]}, tasks: [{task: zeroth, steps: [{confirm: [{item: backup}]}]}]}\n", ":6:97: phases[0].tasks[0].steps[0].confirm[0].item: the item 'backup' is given twice"),
    "a box without a name": ("go_if: [orphans]", "confirm: [{title: The backup is there}]", ":7:22: phases[0].gate.confirm[0]: the key 'item' is missing"),
    "a box that is a word": ("go_if: [orphans]", "confirm: [backup]", ":7:22: phases[0].gate.confirm[0]: input should be a valid mapping or instance of Item; found 'backup'"),
    "a box whose name is a sentence": ("go_if: [orphans]", "confirm: [{item: The backup is there}]", "phases[0].gate.confirm[0].item: 'The backup is there' is not a name here"),
    "a step that is confirmed and runs": ("sql: a.sql.j2, undo: nothing", "confirm: [{item: backup}], sql: a.sql.j2", ":13:13: phases[0].tasks[0].steps[0]: a step does exactly one of sql, backfill, run, http, check, confirm, wait, migrations; this one has sql and confirm"),
    "a step that confirms nothing": ("sql: a.sql.j2, undo: nothing", "confirm: []", ":13:13: phases[0].tasks[0].steps[0]: confirm: an empty list names nothing"),
    "a window that opens at no time": ("inputs:", 'schedule: {windows: [{opens: "25:00"}]}\ninputs:', ":3:23: schedule.windows[0].opens: '25:00' is not a clock time: write one such as 20:30"),
    "a window that closes at no time": ("inputs:", "schedule: {windows: [{closes: midnight}]}\ninputs:", "schedule.windows[0].closes: 'midnight' is not a clock time"),
    "a window on no day": ("inputs:", "schedule: {windows: [{days: []}]}\ninputs:", ":3:23: schedule.windows[0].days: "),
    "a window on an unknown day": ("inputs:", "schedule: {windows: [{days: [fri, caturday]}]}\ninputs:", ":3:35: schedule.windows[0].days[1]: input should be 'mon', 'tue', 'wed', 'thu', 'fri', 'sat' or 'sun'; found 'caturday'"),
    "a freeze that ends before it begins": ("inputs:", "schedule: {freezes: [{begins: 2025-12-26, ends: 2025-12-24}]}\ninputs:", ":3:1: schedule: the freeze ends (2025-12-24) before it begins (2025-12-26)"),
    "a freeze without an end": ("inputs:", "schedule: {freezes: [{begins: 2025-12-24}]}\ninputs:", ":3:22: schedule.freezes[0]: the key 'ends' is missing"),
    "a freeze that begins at no time": ("inputs:", "schedule: {freezes: [{begins: soon, ends: 2025-12-24}]}\ninputs:", ":3:1: schedule: 'soon' is not a date and time"),
    "a freeze within the hour that is left out": ("inputs:", "schedule: {zone: Europe/Rome, freezes: [{begins: 2026-03-29T02:30, ends: 2026-03-30}]}\ninputs:", ":3:1: schedule: 2026-03-29T02:30 does not exist in Europe/Rome"),
    "a protected target that nobody approves": ("{demo: {database: embedded}}", "{demo: {database: embedded, protected: true}}", ":7:5: phases[0].gate: the target 'demo' is protected, so its gate needs `approve:`: who decides, and how many of them"),
    "a target that is perhaps protected": ("{database: embedded}", "{database: embedded, protected: perhaps}", ":2:38: targets.demo.protected: input should be a valid boolean"),
    "a merge key": ("inputs:", "<<: {about: x}\ninputs:", "the key '<<' is not known here"),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_a_broken_runbook_is_refused_with_its_place_and_a_way_out(name: str, tmp_path: Path) -> None:
    old, new, expected = EDITS[name]
    assert RUNBOOK.count(old) == 1, "the case edits one place"
    made = project(tmp_path).runbook(RUNBOOK.replace(old, new))
    assert expected in said(refused(made), made)


def aliases() -> str:
    lines = ["about: x", "runbook: example", "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    return "\n".join(lines) + "\n"


WHOLE: Mapping[str, tuple[str | bytes, str]] = {
    "an empty file": ("", "runbooks/r.yaml:1: a runbook is a mapping that begins with `runbook:`"),
    "comments only": ("# nothing yet\n", "r.yaml:1: a runbook is a mapping"),
    "a list": ("- runbook: example\n", "r.yaml:1: a runbook is a mapping"),
    "a word": ("example\n", "r.yaml:1: a runbook is a mapping"),
    "a binary file": (b"\x89PNG\r\n\x1a\n\0\0", "runbooks/r.yaml:1: is not UTF-8 text; save it as UTF-8"),
    "UTF-16": ("runbook: example".encode("utf-16"), "is not UTF-8 text"),
    "Latin-1": ("runbook: example\ntitle: caf\xe9\n".encode("latin-1"), "runbooks/r.yaml:2: is not UTF-8 text; save it as UTF-8"),
    "a NUL byte": (b"runbook: example\n\ntitle: a\0b\n", "runbooks/r.yaml:3: contains a NUL byte; it is not a text file"),
    "a huge file": ("# " + "x" * MAX_BYTES, "runbooks/r.yaml: is larger than 1,000,000 bytes"),
    "an alias bomb": (aliases(), "its aliases grow beyond 50,000 values"),
    "5000 lists in one another": ("a: " + "[" * 5000 + "]" * 5000, "r.yaml:1:43: is nested deeper than 40 levels"),
    "5000 mappings in one another": ("{a: " * 5000 + "}" * 5000, "is nested deeper than 40 levels"),
    "5000 open lists": ("[" * 5000, "is nested deeper than 40 levels"),
    "a number of 5000 digits": (RUNBOOK.replace("takes: 15m", "takes: " + "9" * 5000), "is not a duration"),
}


@pytest.mark.attack("runbooks")
@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_is_no_runbook_is_refused_and_never_a_burden(name: str, tmp_path: Path) -> None:
    text, expected = WHOLE[name]
    made = project(tmp_path).runbook(text)
    assert expected in said(refused(made), made)


def test_a_runbook_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.yaml: there is no such file"):
        load_runbook(tmp_path / "nowhere.yaml")
    with pytest.raises(BadInput, match=r"cannot be read: Is a directory"):
        load_runbook(tmp_path)


# what is wrong with its templates


PLACE = "sql_templates/example/a.sql.j2"
TEMPLATES: Mapping[str, tuple[str | bytes, str]] = {
    "an undefined variable": ("SELECT 1;\nSELECT {{ nam | ident }};", f"{PLACE}:2: template: 'nam' is undefined"),
    "an undefined value": ("SELECT 1;\nSELECT {{ nam | literal }};", f"{PLACE}:2: template: 'nam' is undefined"),
    "an undefined bare value": ("SELECT {{ nam }};", f"{PLACE}:1: template: 'nam' is undefined"),
    "an undefined part": ("SELECT {{ map.b | literal }};", f"{PLACE}:1: template: 'dict object' has no attribute 'b'"),
    "a bare string": ("SELECT 1,\n\n {{ name }};", f"{PLACE}:3: template: a bare str in SQL text; pass it through `| ident` or `| literal`"),
    "a bare list": ("SELECT {{ many }};", "template: a bare list in SQL text"),
    "a bare nothing": ("SELECT {{ none }};", "template: a bare NoneType in SQL text"),
    "a string made of quoted ones": ("SELECT {{ (name | literal) ~ '; DROP TABLE t' }};", "a bare str in SQL text"),
    "a quoted one that was changed": ("SELECT {{ name | literal | upper }};", "a bare str in SQL text"),
    "a string marked as safe": ("SELECT {{ name | safe }};", "a bare Markup in SQL text"),
    "a mapping as a value": ("SELECT {{ map | literal }};", f"{PLACE}:1: template: a dict cannot be written as a value"),
    "a generator as a value": ("SELECT {{ many | map('string') | literal }};", "template: a generator cannot be written as a value"),
    "an identifier that is too long": ("SELECT {{ ('x' * 64) | ident }};", "longer than 63 bytes"),
    "an infinite number": ("SELECT {{ many[0] * 1e308 * 10 }};", "a bare float in SQL text"),
    "template syntax": ("SELECT 1;\n{% for x %}", f"{PLACE}:2: template syntax: "),
    "a tag that is not closed": ("SELECT 1;\n{{ name ", f"{PLACE}:2: template syntax: "),
    "an unknown filter": ("SELECT {{ name | quote }};", f"{PLACE}:1: template syntax: No filter named 'quote'."),
    "an include that is not there": ("{% include 'other.sql' %}", f"{PLACE}: includes 'other.sql', which is not there"),
    "an include outside": ("{% include '../../runbooks/r.yaml' %}", f"{PLACE}: includes '../../runbooks/r.yaml', which is not there"),
    "an absolute include": ("{% include '/etc/passwd' %}", "includes '/etc/passwd', which is not there"),
    "an import": ("{% import 'os' as os %}{{ os.system('ls') }}", "includes 'os', which is not there"),
    "a template that includes itself": ("{% include 'example/a.sql.j2' %}", "template: maximum recursion depth exceeded"),
    "a division by zero": ("SELECT {{ 1 / 0 }};", f"{PLACE}:1: template: division by zero"),
    "a huge range": ("{% for i in range(1000000000) %}SELECT {{ i }};{% endfor %}", f"{PLACE}:1: template: its loops go round more than 100,000 times"),
    "a huge text": ("{% for i in range(9999) %}" + "SELECT 1;" * 999 + "{% endfor %}", "template: it grows beyond 5,000,000 characters"),
    "loops in loops": ("{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}", "its loops go round more than"),
    "a huge number": ("SELECT {{ 10 ** 5000 }};", "template: Exceeds the limit"),
    "a class": ("SELECT {{ ().__class__.__mro__ }};", f"{PLACE}:1: template: access to attribute '__class__' of 'tuple' object is unsafe"),
    "a class of text": ("SELECT {{ ''.__class__.__mro__[1].__subclasses__() }};", "access to attribute '__class__' of 'str' object is unsafe"),
    "a class by a filter": ("SELECT {{ () | attr('__class__') }};", "access to attribute '__class__'"),
    "a class by a format": ("SELECT {{ '{0.__class__.__mro__}'.format(1) | literal }};", "access to attribute '__class__' of 'int' object is unsafe"),
    "a class by format_map": ("SELECT {{ '{a.__class__}'.format_map({'a': 1}) | literal }};", "access to attribute '__class__'"),
    "a function's globals": ("SELECT {{ batch_of.__globals__ }};", "access to attribute '__globals__' of 'function' object is unsafe"),
    "the template itself": ("SELECT {{ self.__init__ }};", "is unsafe"),
    "a global of Jinja": ("SELECT {{ cycler('a') | literal }};", "'cycler' is undefined"),
    "a change of an input": ("{% set x = many.append(3) %}SELECT 1;", "template: access to attribute 'append' of 'list' object is unsafe"),
    "not UTF-8": (b"SELECT '\xff';", f"{PLACE}: is not UTF-8 text; save it as UTF-8"),
    "a NUL byte": (b"SELECT 1;\nSELECT 'a\0b';", f"{PLACE}:2: contains a NUL byte, which would cut the SQL silently"),
    "a syntax error": ("SELECT 1;\nSELEC 2;\n", f'{PLACE}:2:1: SQL: syntax error at or near "SELEC"\n    SELEC 2;\n    ^'),
    "a syntax error after an accent": ("SELECT 'é' x y;\n", f'{PLACE}:1:14: SQL: syntax error at or near "y"\n    SELECT \'é\' x y;\n                 ^'),
    "a syntax error after a loop": ("{% for i in many %}\nSELECT {{ i }};\n{% endfor %}\nSELECT FROM FROM;", f"{PLACE} (rendered):6:13: SQL: syntax error"),
    "loops too deep for anyone": ("{% for i in many %}" * 30 + "{% endfor %}" * 30, "template: too many statically nested blocks"),
    "a number that overflows": ("SELECT {{ 1e308 * 10 }};", f"{PLACE}:1: template: "),
    "a text for which there is no room": ("SELECT {{ 'x' * 1000000000000000 }};", "template: "),
    "a string that is not closed": ("SELECT 1;\nSELECT 'a;\n", ":2:8: SQL: unterminated quoted string"),
    "psql's own command": ("SELECT 1;\n\\i other.sql\n", f"{PLACE}:2:1: \\i is a command of psql, not SQL"),
    "psql's copy": ("\\copy t FROM 'f'\n", "\\copy is a command of psql, not SQL"),
    "psql's gset": ("SELECT 1 AS x \\gset\n", ":1:15: \\gset is a command of psql, not SQL"),
    "COPY FROM STDIN": ("SELECT 1;\nCOPY t FROM STDIN;\n", f"{PLACE}:2: COPY FROM STDIN talks to a client"),
    "COPY TO STDOUT": ("COPY (SELECT 1) TO STDOUT;", "COPY TO STDOUT talks to a client"),
    "BEGIN": ("BEGIN;\nSELECT 1;\n", f"{PLACE}:1: BEGIN here: gonogo begins and ends"),
    "START TRANSACTION": ("START TRANSACTION;", "START TRANSACTION here"),
    "COMMIT": ("SELECT 1;\n-- that's it\nCOMMIT;", f"{PLACE}:3: COMMIT here"),
    "END": ("SELECT 1; END;", "COMMIT here"),
    "ROLLBACK": ("ROLLBACK;", "ROLLBACK here"),
    "ABORT": ("ABORT;", "ROLLBACK here"),
    "SAVEPOINT": ("SAVEPOINT a;", "SAVEPOINT here"),
    "RELEASE": ("RELEASE a;", "RELEASE here"),
    "ROLLBACK TO": ("ROLLBACK TO a;", "ROLLBACK TO here"),
    "PREPARE TRANSACTION": ("PREPARE TRANSACTION 'a';", "PREPARE TRANSACTION here"),
    "COMMIT PREPARED": ("COMMIT PREPARED 'a';", "COMMIT PREPARED here"),
    "nothing": ("", f"{PLACE}: holds no SQL; a step that does nothing is a mistake"),
    "comments only": ("-- later\n/* or never */ ;\n", f"{PLACE}: holds no SQL"),
    "an index without a name": ("SELECT 1;\nCREATE INDEX CONCURRENTLY ON t (a);", f"{PLACE}:2: name the index"),
    "a setting that would not last": ("SET work_mem = '1GB';\nVACUUM t;", f"{PLACE}:1: SET in a script that runs statement by statement"),
    "a batch where there is none": ("UPDATE t SET a = 1 WHERE {{ batch }};", "steps[0].sql: {{ batch }} and {{ unchanged }} have a meaning in the templates of a backfill only"),
    "a mark of an undo where there is none": ("UPDATE t SET a = 1 WHERE {{ unchanged }};", "steps[0].sql: {{ batch }} and {{ unchanged }} have a meaning in the templates of a backfill only"),
    "an expression as deep as a well": ("SELECT 1;\nSELECT " + "||".join(["'a'"] * 60) + ";", f"{PLACE}:2: an expression is nested deeper than can be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_broken_template_is_refused_with_its_place_and_a_way_out(name: str, tmp_path: Path) -> None:
    text, expected = TEMPLATES[name]
    made = project(tmp_path).template(text)
    error = refused(made)
    assert expected in said(error, made)
    assert len(error.problems) == 1, "one mistake is one problem"


# where templates are


NAMES: Mapping[str, tuple[str, str]] = {
    "one that is not there": (
        "b.sql",
        "runbooks/r.yaml:13:14: phases[0].tasks[0].steps[0].sql: there is no template 'b.sql' in ",
    ),
    "a glob that finds nothing": ("'*.psql'", "there is no template '*.psql' in "),
    "one outside": ("../x.sql", "the template '../x.sql' is not below the template folder"),
    "one outside, the long way": ("extra/../../x.sql", "is not below the template folder"),
    "an absolute one": ("/etc/passwd", "the template '/etc/passwd' is not below the template folder"),
    "one with a NUL": ('"a\\0.sql"', "is not below the template folder"),
    "an empty name": ("''", "there is no template ''"),
    "a name too long for any file": ("a" * 300, "there is no template"),
    "a folder": ("extra", "there is no template 'extra'"),
    "a symbolic link": ("link.sql", "is a symbolic link or leads out of"),
    "a link by a glob": ("'li*.sql'", "is a symbolic link or leads out of"),
    "one in a linked folder": ("linked/x.sql", "is a symbolic link or leads out of"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_template_is_found_below_its_folder_or_not_at_all(name: str, tmp_path: Path) -> None:
    pattern, expected = NAMES[name]
    made = project(tmp_path).runbook(RUNBOOK.replace("sql: a.sql.j2", f"sql: {pattern}"))
    made.files |= {"x.sql": b"SELECT 1", "sql_templates/x.sql": b"SELECT 1", "outside/x.sql": b"SELECT 1"}
    made.write()
    (tmp_path / "sql_templates/example/link.sql").symlink_to(tmp_path / "sql_templates/example/a.sql.j2")
    (tmp_path / "sql_templates/example/linked").symlink_to(tmp_path / "outside")
    assert expected in said(refused(made), made)


@pytest.mark.attack("templates")
def test_a_template_may_not_include_a_symbolic_link(tmp_path: Path) -> None:
    made = project(tmp_path).template("{% include 'example/link.sql' %}")
    made.write()
    (tmp_path / "sql_templates/example/link.sql").symlink_to(tmp_path / "sql_templates/example/check.sql")
    assert "includes 'example/link.sql', which is not there" in said(refused(made), made)


@pytest.mark.parametrize(
    ("included", "expected"),
    [
        (b"SELECT 'a\0b'", "a.sql.j2:1: contains a NUL byte"),
        (b"SELECT '\xff'", "'utf-8' codec can't decode"),
        (b"SELECT\n{{ name }}", "example/part.sql:2: template: a bare str in SQL text"),
        (b"SELECT\n\n{% if %}", "example/part.sql:3: template syntax: "),
    ],
)
def test_what_is_wrong_with_an_included_template_is_said_too(included: bytes, expected: str, tmp_path: Path) -> None:
    made = project(tmp_path).template("{% include 'example/part.sql' %}").template(included, "part.sql")
    assert expected in said(refused(made), made)


# backfills, checks, undo


BACKFILL = RUNBOOK.replace("sql: a.sql.j2, undo: nothing", "backfill: {table: t, sql: a.sql.j2}, undo: nothing")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("UPDATE t SET a = 1", "steps[0].backfill.sql: the template of a batch must say WHERE {{ batch }}"),
        ("UPDATE t SET a = 1 WHERE true -- {{ 'batch' | ident }}", "must say WHERE {{ batch }}"),
        ("VACUUM t", "steps[0].backfill.sql: a batch must be transactional"),
        ("", "holds no SQL"),
    ],
)
def test_a_backfill_works_through_its_batches_and_nothing_else(sql: str, expected: str, tmp_path: Path) -> None:
    made = project(tmp_path).runbook(BACKFILL).template(sql)
    assert expected in said(refused(made), made)


def test_a_backfill_has_one_template(tmp_path: Path) -> None:
    made = project(tmp_path).runbook(BACKFILL.replace("a.sql.j2", "'*.j2'"))
    made.template("UPDATE t SET a = 1 WHERE {{ batch }}").template("UPDATE t SET b = 1 WHERE {{ batch }}", "b.sql.j2")
    assert "steps[0].backfill.sql: a batch is one template; these are 2" in said(refused(made), made)


def test_an_undo_has_no_batches(tmp_path: Path) -> None:
    made = project(tmp_path).runbook(RUNBOOK.replace("undo: nothing", "undo: u.sql.j2"))
    made.template("UPDATE t SET a = NULL WHERE {{ batch }}", "u.sql.j2")
    assert "steps[0].undo: {{ batch }} and {{ unchanged }} have a meaning in the templates of a backfill only" in said(
        refused(made), made
    )


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1; SELECT 2", "example/check.sql: checks.orphans: a check is one query; this has 2 statements"),
        ("-- nothing", "a check is one query; this has 0 statements"),
        ("SELEC 1", "example/check.sql:1:1: SQL: syntax error"),
        ("SELECT 0; COMMIT", "COMMIT here"),
    ],
)
def test_a_check_is_one_query(sql: str, expected: str, tmp_path: Path) -> None:
    made = project(tmp_path).template(sql, "check.sql")
    assert expected in said(refused(made), made)


CALLS = RUNBOOK.replace(
    'orphans: {sql: check.sql, expect: "= 0"}', 'orphans: {calls: check.sql, writes: true, expect: "failed = 0"}'
)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT consume(); COMMIT; SELECT true", "example/check.sql:1: COMMIT here"),
        ("SELEC consume()", "example/check.sql:1:1: SQL: syntax error"),
        ("-- nothing", "there is no statement in it"),
    ],
)
def test_a_call_ends_no_transaction_that_is_to_take_it_back(sql: str, expected: str, tmp_path: Path) -> None:
    made = project(tmp_path).runbook(CALLS).template(sql, "check.sql")
    assert expected in said(refused(made), made)
    assert made.template("SET LOCAL app.who = 'a'; SELECT consume()", "check.sql").prepare().plan.checks["orphans"].calls


def test_a_check_whose_template_is_not_there_is_refused(tmp_path: Path) -> None:
    made = project(tmp_path).runbook(RUNBOOK.replace("check.sql", "gone.sql"))
    assert "runbooks/r.yaml:15:3: checks.orphans: there is no template 'gone.sql'" in said(refused(made), made)


# inputs and targets


INPUTS = RUNBOOK.replace(
    "inputs: {name: {default: o'brien}",
    "inputs: {count: {type: integer, min: 1, max: 9}, mode: {default: a, choices: [a, b]}, name: {default: o'brien}",
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "the input 'count' needs a value: pass --input count=..."),
        ({"count": "5"}, "the input 'count' is to be integer; found '5'"),
        ({"count": True}, "the input 'count' is to be integer; found True"),
        ({"count": 5.0}, "the input 'count' is to be integer; found 5.0"),
        ({"count": 0}, "the input 'count' is to be at least 1 and at most 9; found 0"),
        ({"count": 10}, "the input 'count' is to be at least 1 and at most 9; found 10"),
        ({"count": 10**400}, "the input 'count' is to be at least 1 and at most 9"),
        ({"count": 5, "mode": "c"}, "the input 'mode' is one of a, b; found 'c'"),
        ({"count": 5, "name": 5}, "the input 'name' is to be text; found 5"),
        ({"count": 5, "many": "x"}, "the input 'many' is to be list; found 'x'"),
        ({"count": 5, "map": [1]}, "the input 'map' is to be mapping; found [1]"),
        ({"count": 5, "nmae": "x"}, "there is no input 'nmae'; there are count, mode, name, many, map"),
    ],
)
def test_an_input_is_known_and_has_its_type(given: dict[str, Any], expected: str, tmp_path: Path) -> None:
    made = project(tmp_path).runbook(INPUTS)
    assert expected in str(refused(made, inputs=given))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_no_input(value: float, tmp_path: Path) -> None:
    made = project(tmp_path).runbook(RUNBOOK.replace("many: {default: [1, 2]}", "many: {default: 1.5}"))
    assert "the input 'many' is to be finite" in str(refused(made, inputs={"many": value}))


def test_a_target_is_one_of_the_runbooks_own(tmp_path: Path) -> None:
    assert str(refused(project(tmp_path), target="prod")) == "the runbook has no target 'prod'; there are demo"


# people


PROTECTED = RUNBOOK.replace("{database: embedded}", "{database: embedded, protected: true}").replace(
    "phases:\n", "backup: {waived: small}\nrehearsal: {waived: small}\nphases:\n"
)
TWO_PHASES = PROTECTED.replace("phases:\n", "phases:\n  - {phase: zero, tasks: [{task: zeroth}]}\n")


def test_each_phase_on_a_protected_target_needs_people_who_decide_and_a_checklist_is_not_enough(tmp_path: Path) -> None:
    made = project(tmp_path).runbook(TWO_PHASES.replace("go_if: [orphans]", "confirm: [{item: backup}]"))
    problems = refused(made).problems
    assert [(p.line, p.path) for p in problems] == [(8, "phases[0].gate"), (10, "phases[1].gate")]
    made.runbook(TWO_PHASES.replace("go_if: [orphans]", "approve: {roles: lead}"))
    assert [(p.line, p.path) for p in refused(made).problems] == [(8, "phases[0].gate")]


def test_a_phase_that_people_decide_about_runs_on_a_protected_target(tmp_path: Path) -> None:
    made = project(tmp_path).runbook(PROTECTED.replace("go_if: [orphans]", "approve: {roles: lead}")).prepare()
    assert made.plan.protected
    assert made.plan.phases[0].asks_people


def test_only_the_target_that_a_run_is_for_asks_for_people_who_decide(tmp_path: Path) -> None:
    other = RUNBOOK.replace(
        "{demo: {database: embedded}}", "{demo: {database: embedded}, prod: {database: $PROD, protected: true}}"
    )
    made = project(tmp_path).runbook(other)
    assert not made.prepare(target="demo").plan.protected
    assert "the target 'prod' is protected" in said(refused(made, target="prod"), made)


def test_a_quorum_that_is_out_of_reach_as_the_launcher_does_not_count_is_refused(tmp_path: Path) -> None:
    made = project(tmp_path).runbook(PROTECTED.replace("go_if: [orphans]", "approve: {roles: lead, not_launcher: true}"))
    assert "nobody can reach it" in said(refused(made), made)


def test_what_is_wrong_with_people_and_their_times_is_said_at_once(tmp_path: Path) -> None:
    text = RUNBOOK.replace("inputs:", "rollback: {authority: {roles: boss}}\ninputs:")
    text = text.replace("go_if: [orphans]", "approve: {roles: [chief], quorum: 1}, confirm: [{item: a, owner: x}, {item: a}]")
    problems = refused(project(tmp_path).runbook(text)).problems
    assert [p.path for p in problems] == [
        "rollback.authority.roles[0]",
        "phases[0].gate.approve.roles[0]",
        "phases[0].gate.confirm[0].owner",
        "phases[0].gate.confirm[1].item",
    ]


# all at once


def test_every_problem_of_a_runbook_is_said_at_once_in_the_order_of_its_lines(tmp_path: Path) -> None:
    text = RUNBOOK.replace("takes: 15m", "takes: 15").replace("{name: Anna,", "{").replace('"= 0"', '"about 0"')
    text = text.replace("database: embedded", "databas: embedded").replace("phase: one", "phase: One")
    made = project(tmp_path).runbook(text.replace("inputs:", "runbook: again\ninputs:"))
    error = refused(made)
    lines = [problem.line for problem in error.problems]
    assert lines == sorted(lines)
    assert lines == [2, 2, 3, 5, 7, 12, 16]
    assert all(problem.column and problem.file for problem in error.problems)


def test_names_that_do_not_fit_together_are_all_said_at_once(tmp_path: Path) -> None:
    text = RUNBOOK.replace("owner: lead", "owner: nobody").replace("[orphans]", "[lost, gone]")
    text = text.replace("takes: 15m", "after: zeroth").replace("{default: o'brien}", "{type: integer, default: x}")
    problems = refused(project(tmp_path).runbook(text)).problems
    assert [p.line for p in problems] == [3, 7, 7, 8, 10]
    assert [p.path for p in problems if p.line == 7] == ["phases[0].gate.go_if[0]", "phases[0].gate.go_if[1]"]


def test_every_problem_of_every_template_is_said_at_once(tmp_path: Path) -> None:
    text = RUNBOOK.replace("sql: a.sql.j2, undo: nothing", "sql: [a.sql.j2, b.sql, c.sql], undo: gone.sql")
    made = project(tmp_path).runbook(text).template("SELECT {{ nobody }}").template("COMMIT; ROLLBACK", "b.sql")
    made.template("", "c.sql").template("SELECT 1; SELECT 2", "check.sql")
    found = said(refused(made), made)
    for expected in ("'nobody' is undefined", "COMMIT here", "ROLLBACK here", "holds no SQL", "'gone.sql'", "one query"):
        assert expected in found


def test_a_problem_says_where_it_is_as_far_as_that_is_known() -> None:
    whole = Problem(file="r.yaml", line=3, column=5, path="phases[0]", message="no")
    assert str(whole) == "r.yaml:3:5: phases[0]: no"
    assert str(Problem(file="r.yaml", line=3, message="no")) == "r.yaml:3: no"
    assert str(Problem(file="r.yaml", message="no")) == "r.yaml: no"
    assert str(Problem(message="no")) == "no"
    assert str(BadInput("no", Problem(message="nor this"))) == "no\nnor this"


# what YAML does elsewhere and not here


def loaded(root: Path, change: Callable[[str], str]) -> Runbook:
    return load_runbook(project(root).runbook(change(RUNBOOK)).write())


@pytest.mark.parametrize(
    "text",
    [
        *["on", "off", "yes", "no", "Yes", "NO", "y", "n", "12:30", "1:2:3", "0123", "0o17", "0x1F", "1_000", "1e3", ".5", "5."],
        *[".inf", "-.inf", ".nan", "2025-10-12", "2025-10-12T18:53:00", "=", "<<", "+", "0b11", "1.5e999", "1٣", "9" * 5000],
    ],
)
def test_what_looks_like_something_else_in_yaml_stays_text(text: str, tmp_path: Path) -> None:
    found = loaded(tmp_path, lambda runbook: runbook.replace("o'brien", text).replace("Anna", text))
    assert found.inputs["name"].default == text
    assert found.people["anna"].name == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("true", True), ("False", False), ("null", None), ("~", None), ("0", 0), ("-7", -7), ("+7", 7), ("1.50", 1.5)],
        *[("-0.5e-3", -0.0005), ('"true"', "true"), ("'7'", "7"), ('"null"', "null"), ("'~'", "~")],
    ],
)
def test_plain_values_are_what_they_say_and_quoted_ones_are_text(text: str, value: object, tmp_path: Path) -> None:
    found = loaded(tmp_path, lambda runbook: runbook.replace("o'brien", text)).inputs["name"].default
    assert found == value
    assert type(found) is type(value)


def test_keys_are_text_whatever_they_look_like(tmp_path: Path) -> None:
    found = loaded(tmp_path, lambda runbook: runbook.replace("{a: 1}", "{on: 1, 12: 2, null: 3, true: 4}"))
    assert found.inputs["map"].default == {"on": 1, "12": 2, "null": 3, "true": 4}


def test_a_byte_order_mark_and_windows_lines_do_no_harm(tmp_path: Path) -> None:
    made = project(tmp_path).runbook(b"\xef\xbb\xbf" + RUNBOOK.replace("\n", "\r\n").encode())
    made.template(b"\xef\xbb\xbf" + TEMPLATE.replace("\n", "\r\n").encode()).template(b"\xef\xbb\xbfSELECT 0\r\n", "check.sql")
    found = made.prepare()
    assert isinstance(found.plan, Plan)
    assert sorted(text.strip() for text in found.texts.values()) == ["SELECT 'o''brien', 1, 1;", "SELECT 0"]


def test_an_anchor_may_be_used_again(tmp_path: Path) -> None:
    found = loaded(tmp_path, lambda runbook: runbook.replace("[1, 2]", "&two [1, 2]").replace("{a: 1}", "{a: *two}"))
    assert found.inputs["map"].default == {"a": [1, 2]}


def test_what_names_refer_to_and_the_templates_are_told_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = RUNBOOK.replace("go_if: [orphans]", "go_if: [elsewhere]").replace("undo: nothing", "undo: gone.sql")
    files = {"runbooks/r.yaml": text.encode(), "sql_templates/example/a.sql.j2": b"SELEC 1;\n"}
    AProject(tmp_path, files).write()
    monkeypatch.chdir(tmp_path)

    found = "\n".join(map(str, problems_of("r", "", plan)))

    assert "the check 'elsewhere' is not defined" in found
    assert 'syntax error at or near "SELEC"' in found
    assert "there is no template 'gone.sql'" in found
    assert "there is no template 'check.sql'" in found
