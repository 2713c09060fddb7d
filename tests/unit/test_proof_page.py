from __future__ import annotations

import pytest
from generate.__main__ import DOCS
from generate.proof_page import _RESTORES, WORDS, proof_page

from gonogo.core.engine.events import Kind
from gonogo.core.engine.rehearsal import GOOD
from gonogo.postgres import not_compared

#: what says that something did not go well, is only begun, asked or counted, or is said by a person
NO_SUCCESS = {
    *(
        Kind.RUN_OPENED,
        Kind.RUN_SIGNED,
        Kind.PHASE_STARTED,
        Kind.BASELINE,
        Kind.ASKED,
        Kind.VOTE,
        Kind.VOTE_REFUSED,
        Kind.CONFIRMED,
        Kind.NO_GO,
    ),
    *(
        Kind.STARTED,
        Kind.WARNED,
        Kind.NOT_DONE,
        Kind.FAILED,
        Kind.WORK_DONE,
        Kind.VERIFY_FAILED,
        Kind.SAMPLE,
        Kind.TRIPPED,
        Kind.WOULD_TRIP,
    ),
    *(Kind.HELD, Kind.LOSS_COUNTED, Kind.UNDO_STARTED, Kind.UNDO_FAILED, Kind.ALL_UNDONE, Kind.NOT_PROVED, Kind.OVERRUN),
    *(Kind.WARNED, Kind.TAKEN_OVER, Kind.LEDGER_LOST, Kind.ACKNOWLEDGED, Kind.ALERT, Kind.CLEARED),
    *(Kind.HOLD, Kind.PACE, Kind.PACED, Kind.RESUME, Kind.ABORT, Kind.ROLL_BACK),
}


def test_the_page_is_what_the_code_says() -> None:
    written = (DOCS / "what-is-proved.md").read_text(encoding="utf-8")
    assert written == proof_page(), "docs/what-is-proved.md is not what the code says: write it again with `just docs`"


def test_every_event_is_a_word_of_success_that_says_what_it_rests_on_or_is_none() -> None:
    assert WORDS.keys() | NO_SUCCESS == set(Kind)
    assert not WORDS.keys() & NO_SUCCESS
    assert all(measured and not_covered for measured, not_covered in WORDS.values())


def test_every_word_of_a_rehearsal_that_lets_a_run_begin_is_explained() -> None:
    assert _RESTORES.keys() == GOOD


@pytest.mark.parametrize("catalog", [*not_compared.CATALOGS, *not_compared.COLUMNS])
def test_what_is_not_compared_is_on_the_page_with_its_reason(catalog: str) -> None:
    reasons = (
        {not_compared.CATALOGS[catalog]} if catalog in not_compared.CATALOGS else set(not_compared.COLUMNS[catalog].values())
    )
    row = next(line for line in proof_page().splitlines() if line.startswith(f"| `{catalog}` |"))
    assert all(why in row for why in reasons)
