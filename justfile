# what there is to do
default:
    @just --list

# everything that must be green before a commit
check: lint types imports test

# format, and mend what can be mended
fix:
    uv run ruff format
    uv run ruff check --fix

lint:
    uv run ruff format --check
    uv run ruff check

types:
    uv run mypy

imports:
    uv run lint-imports

test *ARGS:
    uv run pytest {{ARGS}}

# the shape of the code: rooms, arrows, circles, hidden imports, long files and functions, large records
house *ARGS:
    uv run python tests/support/house.py {{ARGS}}

# write the pages that are made from the code: states, glossary, runbook reference, JSON Schema, ledger.sql
docs:
    uv run python docs/generate

# the unit tests and a smoke run on every Python that this machine has; coverage against its floor
pythons:
    .ci/pythons

# known weaknesses of the dependencies
audit:
    .ci/audit

# newer versions of the dependencies, as far as pyproject.toml lets them
refresh:
    uv lock --upgrade

# the figures of benchmarks/README.md
bench:
    uv run python benchmarks/scripts.py

# break the protocol, one line at a time: a table of what notices (some minutes)
mutants *ARGS:
    uv run python tests/support/mutants.py {{ARGS}}

# input that nobody would write
fuzz *ARGS:
    uv run python tests/support/fuzz.py {{ARGS}}

# all tests ten times in a row, the first three of them beside a load of every core
row *ARGS:
    uv run python tests/support/row.py {{ARGS}}

# runs told by their seeds, to which anything happens
schedules *ARGS:
    uv run python tests/support/schedules.py {{ARGS}}
