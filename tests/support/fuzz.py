"""Input that nobody would write: runbooks, templates, rows of a ledger, parameters of the API; each told by its seed.

`uv run python tests/support/fuzz.py --count 10000` tries many of each and names the seeds that end with anything but an answer or
one of gonogo's own errors, take more than a second of a processor, or reach a server.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NoReturn
from unittest import mock

if __name__ == "__main__":
    # as a command it is found by its file alone
    sys.path[:1] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import psycopg
import yaml

# here, since it takes Prefect a second: no input is to be charged with that
from flows.entrypoints import _prepare, _require_name
from gonogo.cli.status import _print_status, _status
from gonogo.core.engine.events import Event, Kind, write_body
from gonogo.core.engine.evolve import fold
from gonogo.core.plan.plan import Plan
from gonogo.core.text.log import log_line
from gonogo.core.text.messages import headline, updates
from gonogo.errors import BadInput, GonogoError
from gonogo.ledger import store
from gonogo.planning.load import load_runbook
from gonogo.planning.open import OpenedRunbook
from gonogo.planning.planner import prepare
from gonogo.planning.render_process import LIMIT
from gonogo.planning.templates import Templates
from gonogo.project import ROOT, Project
from gonogo.report import report
from gonogo.run.open import moment, read_inputs
from gonogo.run.runs import FoundRun
from support.plans import START
from support.schedules import PlanMaker, wander

#: seconds of this process that one input may take, where a yardstick of work takes a tenth of one; a busy machine stretches both
MOST, _YARDSTICK = 1.0, 0.1
#: values that break what does not expect them
ODD: Sequence[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**63,
        -(2**63),
        10**400,
        0.1,
        -0.0,
        1e308,
        "",
        " ",
        "x",
        "null",
        "true",
        "~",
        "{{ x }}",
        "${X}",
    ),
    *(
        "$HOME",
        "../../etc/passwd",
        "/",
        "\u202e",
        "\ufeff",
        "é" * 40,
        "'",
        '"',
        "`",
        "\\",
        "\n",
        "a\nb",
        "%s",
        "x" * 5000,
        "12:30:45",
    ),
    *("2025-02-30", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "P1D", "1e999", "-1h", "999999999999d", "nan", "Infinity"),
    *([], [[]], [[[[[[[[[[]]]]]]]]]], {}, {"": ""}, {"a": {"b": {"c": {}}}}, [None], [1, "a", {}], ["x"] * 200),
]
#: pieces of YAML, and of what only looks like it
_YAML = [
    *(
        "null",
        "~",
        "[]",
        "{}",
        "- x",
        "? x",
        "x: y",
        "-1",
        "1e309",
        "0x7f",
        ".inf",
        "2001-01-01",
        "12:30:45",
        "yes",
        "|",
        ">-",
        "---",
        "...",
    ),
    *(
        "!!python/object/apply:os.system [id]",
        "!!binary x",
        "&a [*a]",
        "*a",
        "<<: *a",
        "%YAML 1.2",
        "# x",
        "'",
        '"',
        "{{ x }}",
        "{%",
    ),
    *(
        "\t",
        "\u2028",
        "\u202e",
        "\x00",
        "\x07",
        "[" * 60,
        "{a: " * 60,
        "9" * 400,
        "a" * 3000,
        "$HOME",
        "'''",
        "@",
        "`",
        ":",
        "- - - -",
    ),
]
_TEMPLATE = [
    *(
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        "x",
        "y",
        "| literal",
        "| ident",
        "| join",
        "| map('format')",
        "| batch(9**9)",
        "| list",
        ".",
        "~",
    ),
    *(
        "for a in x",
        "endfor",
        "if x",
        "endif",
        "set z = x",
        "macro m(a)",
        "endmacro",
        "m(m)",
        "include 't.sql.j2'",
        "extends 't.sql.j2'",
    ),
    *(
        "block b",
        "endblock",
        "self.b()",
        "super()",
        "range(10**9)",
        "x * 10**9",
        "10 ** 10 ** 10",
        "'%*d' | format(10**9, 1)",
        "loop",
    ),
    *(
        "x.__class__.__mro__",
        "''.__class__",
        "x | attr('__init__')",
        "cycler",
        "lipsum",
        "x[0]",
        "x[::-1]",
        "'{0}'.format(x)",
        "raw",
        "endraw",
    ),
    *(
        "filter upper",
        "endfilter",
        "call m()",
        "endcall",
        "import 't.sql.j2' as t",
        "from 't.sql.j2' import m",
        "with z = 1",
        "endwith",
        "-",
    ),
    *(
        "SELECT",
        "'",
        '"',
        "$$",
        "\n",
        "\x00",
        "x | replace('a', x * 10**7)",
        "recursive",
        "not",
        "in",
        "(",
        ")",
        "[",
        "]",
        ",",
        "1",
    ),
]


class Reached(Exception):
    """A server was reached."""


@contextmanager
def no_server() -> Iterator[None]:
    """Let nothing reach a server."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise Reached("a server was reached")

    with mock.patch.object(psycopg, "connect", refuse), mock.patch.object(psycopg.Connection, "connect", refuse):
        yield


# runbooks


@cache
def _books() -> list[str]:
    return [file.read_text(encoding="utf-8") for file in sorted((ROOT / "runbooks").glob("*.yaml"))]


def runbook(chance: Random, folder: Path) -> None:
    """Read a runbook into which things were thrown, and plan it where it can be read."""
    if chance.random() < 0.6:
        # its form is good, and what stands in it is not
        data = yaml.safe_load(chance.choice(_books()))
        for _ in range(chance.randint(1, 2)):
            _bend(data, chance)
        prepare(_open(json.dumps(data, default=str), folder))
        return
    lines = chance.choice(_books()).splitlines()
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(lines))
        change = chance.randrange(7)
        if change == 0:
            del lines[at : at + chance.randint(1, 5)]
            lines = lines or [""]
        elif change == 1:
            lines[at:at] = [lines[chance.randrange(len(lines))]] * chance.choice([1, 1, 1, 200])
        elif change == 2:
            key, colon, _rest = lines[at].partition(":")
            lines[at] = f"{key}{colon} {chance.choice(_YAML)}"
        elif change == 3:
            place = chance.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:place] + chance.choice(_YAML) + lines[at][place:]
        elif change == 4:
            lines[at] = " " * chance.randrange(9) + lines[at].lstrip()
        elif change == 5:
            words = lines[at].split(" ")
            chance.shuffle(words)
            lines[at] = " ".join(words)
        else:
            key, colon, _rest = lines[at].partition(":")
            lines[at] = f"{key}{colon} {json.dumps(chance.choice(ODD))}"
    prepare(_open("\n".join(lines), folder))


def _open(text: str, folder: Path, target: str = "") -> OpenedRunbook:
    file = folder / "fuzzed.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    return OpenedRunbook(runbook=load_runbook(file), file=file, project=Project(root=ROOT), target=target)


# templates


def template(chance: Random, folder: Path) -> None:
    """Render a template of pieces that nobody would put together."""
    text = " ".join(chance.choice(_TEMPLATE) for _ in range(chance.randint(1, 25)))
    if chance.random() < 0.5:
        # half of them are well formed, so that they come as far as being rendered
        text = "{{ " + " ".join(chance.choice(_TEMPLATE[6:]) for _ in range(chance.randint(1, 4))) + " }}"
    variables = {"x": chance.choice(ODD), "y": chance.choice(ODD)}
    templates = Templates([folder])
    if chance.random() < 0.5:
        (folder / "t.sql.j2").write_bytes(text.encode("utf-8", "surrogatepass"))
        templates.render("t.sql.j2", variables)
    elif chance.random() < 0.5:
        templates.words(text, variables, names_variables=chance.random() < 0.5)
    else:
        templates.query(text, variables)


# rows of a ledger


def rows(chance: Random, _folder: Path) -> None:
    """Read, fold, show and report a ledger whose rows somebody wrote by hand."""
    world = wander(PlanMaker(chance).plan(), chance)
    found = [[row.seq, str(row.kind), row.at, row.at, row.actor, json.loads(json.dumps(row.data))] for row in world.ledger.rows]
    for _ in range(chance.randint(1, 4)):
        row = chance.choice(found)
        change = chance.randrange(8)
        if change == 0:
            row[1] = str(chance.choice([*Kind, "no such kind"]))
        elif change == 1:
            row[5] = chance.choice(ODD)
        elif change == 2:
            row[2] = row[3] = chance.choice(
                [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), START - timedelta(days=9)]
            )
        elif change == 3:
            found.append(
                [len(found) + 1, str(chance.choice(list(Kind))), *row[2:5], json.loads(json.dumps(chance.choice(found)[5]))]
            )
        elif change == 4:
            row[4] = chance.choice(["", "\x1b[31m", "a\nb", "x" * 5000, "\u202e"])
        else:
            _bend(row[5], chance)
    events = [store.event_of(row) for row in found]
    plan = store.opened_with("fuzzed", events)
    _show(plan, events)


def _bend(data: Any, chance: Random) -> None:
    """Change something within a body."""
    while isinstance(data, (dict, list)) and data:
        key = chance.choice(list(data) if isinstance(data, dict) else range(len(data)))
        if not isinstance(data[key], (dict, list)) or not data[key] or chance.random() < 0.3:
            if chance.random() < 0.2:
                del data[key]
            else:
                data[key] = chance.choice(ODD)
            return
        data = data[key]


def _show(plan: Plan, events: Sequence[Event]) -> None:
    state = fold(events)
    run = FoundRun(run="fuzzed", plan=plan, events=events, state=state, running=False)
    now = max(event.at for event in events)
    shown, schedule = _status(run, now)
    _print_status(run, shown, schedule, now)
    made = report.report(plan, events, "fuzzed")
    report.as_markdown(made), report.as_html(made)
    headline(plan, state, "fuzzed", now)
    before = fold(events[:1])
    for number, event in enumerate(events[1:], 2):
        after = fold(events[:number]) if len(events) < 40 else state
        log_line(plan, before, event, after)
        updates(plan, before, event, after, "fuzzed")
        before = after
        write_body(event.body)


# parameters


def parameters(chance: Random, folder: Path) -> None:
    """Hand parameters to what the API's flows and the command line begin with."""
    text = chance.choice([*_YAML, *map(str, ODD)])
    with suppress(BadInput):
        _require_name(chance.choice(ODD))
    with suppress(BadInput):
        moment(text, chance.choice(["UTC", "Europe/Rome"]))
    with suppress(BadInput):
        read_inputs([f"{chance.choice(['x', '', 'organizations', text])}{chance.choice(['=', ''])}{text}"])
    opened = _open(chance.choice(_books()), folder)
    opened = opened.on(chance.choice(["", *opened.runbook.targets]) if chance.random() < 0.9 else text)
    known = [name for name in opened.runbook.inputs if chance.random() < 0.5]
    strange = {text: chance.choice(ODD)} if chance.random() < 0.1 else {}
    _prepare(opened, {**{name: chance.choice(ODD) for name in known}, **strange})


KINDS: dict[str, Callable[[Random, Path], None]] = {
    "runbook": runbook,
    "template": template,
    "rows": rows,
    "parameters": parameters,
}


def wrong_with(kind: str, seed: int, folder: Path) -> str:
    """Try one input; return what is wrong with what came of it, or nothing."""
    began = time.process_time()
    try:
        with no_server():
            KINDS[kind](Random(f"{kind}:{seed}"), folder)  # noqa: S311 - it is a test
    except BadInput as error:
        if not all(problem.message.strip() for problem in error.problems):
            return "an error without a word"
    except GonogoError as error:
        if not str(error).strip():
            return "an error without a word"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
    took = time.process_time() - began
    # what a template takes is bounded in its own process
    most = MOST + (LIMIT if kind == "template" else 0)
    return f"it took {took:.1f} s" if took > most and took > most * _slowness() else ""


def _slowness() -> float:
    """Return how many times as long as on an ordinary machine work takes here and now."""
    began = time.process_time()
    sum(number for number in range(2_000_000))
    return (time.process_time() - began) / _YARDSTICK


def main() -> int:
    """Try many inputs of each kind, and print those that end in what none may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000, help="how many of each kind (1,000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--kind", choices=KINDS, help="only this kind")
    parser.add_argument("--trace", action="store_true", help="let what the first seed of a kind raises through")
    given = parser.parse_args()
    if given.trace:
        with tempfile.TemporaryDirectory() as folder, no_server():
            KINDS[given.kind](Random(f"{given.kind}:{given.first}"), Path(folder))  # noqa: S311 - it is a test
        return 0
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for kind in [given.kind] if given.kind else KINDS:
            began = time.monotonic()
            for seed in range(given.first, given.first + given.count):
                if wrong := wrong_with(kind, seed, Path(folder)):
                    bad += 1
                    print(f"{kind} {seed}: {wrong}", flush=True)
            print(f"{given.count:,} of {kind} from seed {given.first:,}; {time.monotonic() - began:,.0f} s", flush=True)
    print(f"{bad} ended in what none may")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
