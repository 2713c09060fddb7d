"""A server that speaks another language: nothing that gonogo decides hangs on PostgreSQL's words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from support.book import BOOK, FILES
from support.command import environment, gonogo
from support.servers import DEBIAN_15, OLD, Server, open_folder, running_15

pytestmark = pytest.mark.xdist_group("languages")

Make = Callable[..., Path]
WAYS = BOOK.replace("baseline:", "backup: {}\nrollback: {levels: [undo, restore]}\nbaseline:")


@pytest.fixture(scope="module")
def german() -> Iterator[Server]:
    """Debian's PostgreSQL 15, in German."""
    if not DEBIAN_15.is_dir():
        pytest.skip("PostgreSQL 15 is not installed (Debian: apt-get install postgresql-15)")
    with open_folder() as folder, running_15(folder, "de") as running:
        yield running


@pytest.fixture
def german_url(german: Server) -> str:
    url = german.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(OLD)
        with pytest.raises(psycopg.Error, match="Division durch Null"):
            connection.execute("SELECT 1 / 0")
    return url


def tell(project: Path, url: str, *arguments: str) -> tuple[int, str]:
    done = gonogo(*arguments, "--without-prefect", cwd=project, env=environment(TEST_URL=url))
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("level", ["undo", "restore"])
def test_a_run_goes_forward_and_back(make_project: Make, german_url: str, level: str) -> None:
    project = make_project(WAYS, **FILES)
    code, told = tell(project, german_url, "run", "book")
    assert code == 0, told
    code, told = tell(project, german_url, "rollback", "book", "--level", level)
    assert code == 11, told
    with psycopg.connect(german_url, autocommit=True) as connection:
        assert connection.execute("SELECT to_regclass('new') IS NULL, count(*) FROM old").fetchone() == (True, 1000)


def test_rows_that_were_written_since_are_found_before_a_restore_destroys_them(make_project: Make, german_url: str) -> None:
    project = make_project(WAYS, **FILES)
    code, told = tell(project, german_url, "run", "book")
    assert code == 0, told
    with psycopg.connect(german_url, autocommit=True) as connection:
        connection.execute("INSERT INTO old VALUES (2000, 'late')")
    code, told = tell(project, german_url, "rollback", "book", "--level", "restore")
    assert code == 4, told
    assert "1 of public.old" in told
    with psycopg.connect(german_url, autocommit=True) as connection:
        assert connection.execute("SELECT note FROM old WHERE id = 2000").fetchone() == ("late",)


def test_a_lock_that_is_not_had_is_tried_again_and_who_holds_it_is_named(make_project: Make, german_url: str) -> None:
    project = make_project(BOOK, **{**FILES, "020__sql": "ALTER TABLE old ADD COLUMN added int;\n"})
    with psycopg.connect(german_url) as holder:
        holder.execute("SELECT 1 FROM old LIMIT 1")
        code, told = tell(project, german_url, "run", "book")
    assert code == 11, told
    assert "55P03" in told
    assert "SELECT 1 FROM old LIMIT 1" in told


def test_what_a_script_does_wrong_rolls_back_and_a_step_in_doubt_is_asked_about(make_project: Make, german_url: str) -> None:
    project = make_project(BOOK, **{**FILES, "020__sql": "CREATE UNIQUE INDEX CONCURRENTLY new_note ON old ((id % 7));\n"})
    code, told = tell(project, german_url, "run", "book")
    assert code == 11, told
    assert "23505" in told
    with psycopg.connect(german_url, autocommit=True) as connection:
        assert connection.execute("SELECT to_regclass('new_note'), to_regclass('new')").fetchone() == (None, None)


def test_a_database_that_takes_no_connections_is_told_from_one_that_cannot_be_reached(make_project: Make, german: Server) -> None:
    url = german.database()
    with psycopg.connect(german.url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {url.split('/')[3].split('?')[0]} ALLOW_CONNECTIONS false".encode())
    done = gonogo("status", "book", cwd=make_project(BOOK, **FILES), env=environment(TEST_URL=url))
    assert done.returncode == 3
    assert "does not accept connections (ALLOW_CONNECTIONS false), and no gonogo restore is in progress" in done.stderr
