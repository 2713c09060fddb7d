"""What pg_restore says when all that it met is a setting that an older server does not know, in whichever language."""

from __future__ import annotations

import pytest

from gonogo.postgres.tools import _only_older

ENGLISH = 'ERROR:  unrecognized configuration parameter "transaction_timeout"'
GERMAN = "FEHLER:  unbekannter Konfigurationsparameter »transaction_timeout«"
COMMAND = "Command was: SET transaction_timeout = 0;"
END = "pg_restore: warning: errors ignored on restore: 1"


@pytest.mark.parametrize("said", [ENGLISH, GERMAN])
@pytest.mark.parametrize(
    ("lines", "only"),
    [
        (["pg_restore: error: could not execute query: {said}", COMMAND, END], True),
        # two of its processes at once
        (["pg_restore:pg_restore:  error: error: could not execute query: {said}", COMMAND,
          "could not execute query: {said}", COMMAND, END], True),
        (["pg_restore: error: could not execute query: {said}", COMMAND,
          "pg_restore: error: could not execute query: {said}", "Command was: CREATE TABLE a (id int);"], False),
        (["pg_restore: error: could not execute query: {said}", COMMAND, "pg_restore: error: could not read from file"], False),
        (["pg_restore: error: could not open directory"], False),
        ([], False),
    ],
)  # fmt: skip
def test_nothing_but_the_unknown_setting_is_overlooked(said: str, lines: list[str], only: bool) -> None:
    assert _only_older([line.format(said=said) for line in lines]) is only
