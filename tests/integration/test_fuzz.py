"""Whatever is thrown at it, gonogo answers or says what is wrong: no traceback, no second of work, no statement on any server."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import fuzz

pytestmark = pytest.mark.attack("input that nobody would write")


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_input_that_nobody_would_write_ends_in_an_answer_or_in_one_of_our_errors(kind: str, tmp_path: Path) -> None:
    wrong = {seed: found for seed in range(150) if (found := fuzz.wrong_with(kind, seed, tmp_path))}
    assert wrong == {}


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_ten_thousand_inputs_that_nobody_would_write_end_well(kind: str, tmp_path: Path) -> None:
    wrong = {seed: found for seed in range(1_000, 11_000) if (found := fuzz.wrong_with(kind, seed, tmp_path))}
    assert wrong == {}


def test_the_fuzzer_sees_what_it_looks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg

    def traceback(*_: object) -> None:
        raise KeyError("x")

    def statement(*_: object) -> None:
        psycopg.connect("dbname=nowhere")

    def work(*_: object) -> None:
        sum(range(200_000_000))

    for broken, expected in ((traceback, "KeyError"), (statement, "Reached"), (work, "it took")):
        monkeypatch.setitem(fuzz.KINDS, "runbook", broken)
        assert expected in fuzz.wrong_with("runbook", 0, tmp_path)
