"""A server that wants TLS and a password: every program that gonogo runs reaches it as gonogo does, or the reason is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from support.secured import Secured, secured
from support.servers import DEBIAN_15, Server

from checks import throughput
from checks.kind import Question
from gonogo.core.model.check import Check
from gonogo.external.process import run_command
from gonogo.postgres import embedded, programs
from gonogo.postgres.connection import Database
from gonogo.postgres.scratch import ScratchServer
from gonogo.postgres.tools import answer_of
from gonogo.recovery import dump

pytestmark = pytest.mark.skipif(not DEBIAN_15.is_dir(), reason="Debian's PostgreSQL 15 is not installed")
PASSWORD = "s3cret"


@pytest.fixture(scope="module")
def strict() -> Iterator[Secured]:
    with secured() as running:
        running.login("owner", PASSWORD)
        yield running


@pytest.fixture
def name(strict: Secured) -> str:
    made = strict.database("owner")
    with psycopg.connect(strict.address(made, f"owner:{PASSWORD}"), autocommit=True) as connection:
        connection.execute(
            "CREATE SCHEMA app; CREATE TABLE app.orders AS SELECT g id, 'n' || g note FROM generate_series(1, 99) g"
        )
    return made


def test_where_a_server_is_reached_by_tls_the_programs_of_the_machine_are_taken_and_why_is_said(
    strict: Secured, name: str
) -> None:
    for mode in ("verify-full", "verify-ca", "require", "prefer"):
        found = programs.fitting("pg_dump", strict.address(name, f"owner:{PASSWORD}", mode))
        assert found.path == DEBIAN_15 / "pg_dump", mode
        assert "built without TLS" in found.instead
    assert programs.fitting("pg_dump", strict.server.url_of(name)).embedded, "through the socket there is no TLS"


def test_a_backup_is_taken_and_proved_over_tls(strict: Secured, name: str, server: Server, tmp_path: Path) -> None:
    said: list[str] = []
    database = Database(url=strict.address(name, f"owner:{PASSWORD}"))
    taken = dump.take(database, tmp_path / "backup", said.append)
    assert "built without TLS" in said[0], said
    assert taken.manifest.dumped_by.startswith("pg_dump 15")
    proof = dump.prove(taken, ScratchServer(database=database, spare=lambda: server.url), said.append)
    assert (proof.tables, proof.objects) == (1, taken.manifest.fingerprint.count)


def test_pgbench_measures_over_tls(strict: Secured, name: str) -> None:
    url = strict.address(name, f"owner:{PASSWORD}")
    check = Check.model_validate({"throughput": {"script": "a.sql", "clients": 1, "lasts": "1s"}, "expect": [">= 1"]})
    question = Question(name="rate", check=check, text="SELECT count(*) FROM app.orders;", database=Database(url=url))
    with Database(url=url).connect("test") as connection:
        assert float(throughput.measure(question, connection).numbers["value"]) >= 1


def test_a_program_of_a_runbook_reaches_it_with_libpqs_own_variables(strict: Secured, name: str, tmp_path: Path) -> None:
    ask = ["psql", "-XAtc", "SELECT current_user, (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid())"]
    ran = run_command(ask, folder=tmp_path, url=strict.address(name, f"owner:{PASSWORD}"), limit=30)
    assert (ran.code, ran.output.strip()) == (0, "owner|t"), ran


@pytest.mark.parametrize("kept", ["PGPASSFILE", "home", "PGPASSWORD", "service of the address", "PGSERVICE", "all in variables"])
def test_what_libpq_finds_in_the_environment_reaches_every_program(
    kept: str, strict: Secured, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password that is not in the address, and an address that is not in the runbook."""
    url = strict.address(name, "owner")
    word = PASSWORD if kept in ("PGPASSFILE", "home") else "wrong"
    file = tmp_path / (".pgpass" if kept == "home" else "words")
    file.write_text(f"localhost:{strict.port}:*:owner:{word}\n", encoding="utf-8")
    file.chmod(0o600)
    services = tmp_path / "services"
    lines = {"host": "localhost", "port": strict.port, "dbname": name, "user": "owner", "password": PASSWORD}
    lines |= {"sslmode": "verify-full", "sslrootcert": strict.authority}
    services.write_text("[svc]\n" + "".join(f"{key}={value}\n" for key, value in lines.items()), encoding="utf-8")
    given = {"HOME": str(tmp_path)}
    if kept == "PGPASSFILE":
        given["PGPASSFILE"] = str(file)
    elif kept == "PGPASSWORD":
        given["PGPASSWORD"] = PASSWORD
    elif "service" in kept or kept == "PGSERVICE":
        given["PGSERVICEFILE"] = str(services)
        url = "service=svc" if "service" in kept else ""
        given |= {"PGSERVICE": "svc"} if not url else {}
        url = url or "application_name=x"
    elif kept == "all in variables":
        url = "application_name=x"
        given |= {"PGHOST": "localhost", "PGPORT": str(strict.port), "PGDATABASE": name, "PGUSER": "owner"}
        given |= {"PGPASSWORD": PASSWORD, "PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(strict.authority)}
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    with Database(url=url).connect("test") as connection:
        assert connection.info.user == "owner"
    assert "CREATE TABLE app.orders" in answer_of(["pg_dump", "--schema-only"], url, limit=30)
    ran = run_command(["psql", "-XAtc", "SELECT current_user"], folder=tmp_path, url=url, limit=30)
    assert (ran.code, ran.output.strip()) == (0, "owner"), ran
    assert PASSWORD not in ran.output


def test_on_a_copy_elsewhere_nothing_of_how_the_target_is_reached_is_handed_on(
    strict: Secured, name: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, copy = strict.address(name, "owner"), server.database()
    for variable, value in {"PGPASSWORD": PASSWORD, "PGHOSTADDR": "127.0.0.1", "PGSSLMODE": "verify-full"}.items():
        monkeypatch.setenv(variable, value)
    # where it is, is in the address of the copy; what this process has in its own environment would lead elsewhere
    seen = run_command(["env"], folder=tmp_path, url=copy, copy_of=target, limit=30).output.splitlines()
    told = {line.partition("=")[0] for line in seen if line.startswith("PG")}
    assert told == {"PGHOST", "PGPORT", "PGUSER", "PGDATABASE"}
    assert not [line for line in seen if PASSWORD in line]


@pytest.mark.parametrize(
    ("given", "target", "copy"),
    [
        ({"PGPORT": "6543"}, "postgresql://localhost/prod", "postgresql://localhost:5432/scratch"),
        ({"PGHOSTADDR": "127.0.0.9"}, "dbname=prod", "host=127.0.0.9 dbname=scratch"),
        ({}, "service=prod", "service=copies"),
        ({}, "host=a hostaddr=127.0.0.1 dbname=prod", "host=a hostaddr=127.0.0.2 dbname=scratch"),
    ],
)
def test_whether_a_copy_is_on_the_targets_server_goes_by_all_that_libpq_reads(
    given: dict[str, str], target: str, copy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in ({"PGPASSWORD": PASSWORD} | given).items():
        monkeypatch.setenv(variable, value)
    seen = run_command(["sh", "-c", "env; cat $PGPASSFILE"], folder=tmp_path, url=copy, copy_of=target, limit=30)
    assert PASSWORD not in seen.output + seen.errors
    there = run_command(["sh", "-c", "cat $PGPASSFILE | wc -c"], folder=tmp_path, url=target, copy_of="", limit=30)
    assert int(there.output) == len(f"*:*:*:*:{PASSWORD}\n"), "the target's own programs have it"


def test_whoever_names_a_folder_of_programs_gets_these_or_the_reason(
    strict: Secured, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = strict.address(name, f"owner:{PASSWORD}")
    monkeypatch.setenv(programs.VARIABLE, str(DEBIAN_15))
    assert programs.fitting("pg_dump", strict.server.url).path == DEBIAN_15 / "pg_dump"
    monkeypatch.setenv(programs.VARIABLE, str(embedded.program("pg_dump").parent))
    with pytest.raises(
        programs.NoProgram, match=r"reached by TLS: pg_dump 18\S* \(.*\): built without TLS. Install the client programs"
    ):
        programs.fitting("pg_dump", url)
    monkeypatch.setenv(programs.VARIABLE, str(tmp_path))
    with pytest.raises(programs.NoProgram, match=r"none was found\. Install .* postgresql-client-15\), or set GONOGO_PROGRAMS"):
        programs.fitting("pg_dump", url)


def test_a_program_that_is_older_than_the_server_does_not_dump_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(programs.VARIABLE, str(DEBIAN_15))
    with pytest.raises(programs.NoProgram, match=r"PostgreSQL 18: pg_dump 15.*: older than the server"):
        programs.fitting("pg_dump", server.url)


def test_a_server_that_cannot_be_reached_is_said_as_that(strict: Secured, name: str) -> None:
    with pytest.raises(programs.NoProgram, match="password authentication failed"):
        programs.fitting("pg_dump", strict.address(name, "owner:wrong"))
