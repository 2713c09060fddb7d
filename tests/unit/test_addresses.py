"""A program gets the address of its database in the form that it reads, and in a rehearsal none that names the target."""

from __future__ import annotations

import base64
import html
import json
import shlex
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from support.book import BOOK

from gonogo import private_files
from gonogo.core.model.program_text import code_from_input
from gonogo.errors import BadInput, StepError
from gonogo.external.process import _address, _names, redactor, run_command
from gonogo.planning.load import check_runbook
from gonogo.postgres.address import resolve_url, safe_url, secrets_of, without_secrets
from gonogo.postgres.connection import Database
from gonogo.redaction import redacting

TARGET = "postgresql://app:pw@db.example:6543/shop"


@pytest.mark.parametrize(
    "url",
    [
        TARGET,
        "host=db.example user='od d' password='p@/: %' dbname='a b' port=1",
        "postgresql:///shop?host=/var/run/postgresql&port=5433",
        "postgresql://[::1]:5432/shop?sslmode=verify-full&sslrootcert=/ca.pem",
        "dbname=shop",
    ],
)
def test_an_address_leads_where_the_connection_leads(url: str) -> None:
    assert {k: str(v) for k, v in conninfo_to_dict(_address(conninfo_to_dict(url))).items()} == {
        k: str(v) for k, v in conninfo_to_dict(url).items()
    }


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (TARGET, True),
        ("host=db.example port=6543 dbname=shop", True),
        ("jdbc:postgresql://db.example:6543/shop?ssl=true", True),
        ("shop", True),
        ("--dbname=shop", True),
        ("postgresql://db.example:6543/other", False),
        ("shopping", False),
        ("load/shop_test.js", False),
        ("", False),
    ],
)
def test_what_names_the_target_is_told_from_what_does_not(value: str, named: bool) -> None:
    assert _names(value, TARGET) is named


@pytest.mark.attack("inputs")
def test_a_program_that_is_told_of_the_target_is_not_started_on_a_copy(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="its argument 2 names the target"):
        run_command(["psql", "-d", "shop"], folder=tmp_path, url="dbname=copy", copy_of=TARGET, limit=5)


@pytest.mark.attack("secrets")
def test_a_password_is_struck_out_in_every_form_that_an_address_has() -> None:
    url = "postgresql://app:s3cr%2Fet%2Bpw@db.example/x"
    assert "s3cr" not in redactor([], url)(f"cannot reach {_address(conninfo_to_dict(url))} nor s3cr/et+pw")


# what of an address nobody may see

#: addresses whose password holds what a URL gives a meaning, as people paste them; CANARY is in the password
TORN = [
    "postgresql://u:pa@CANARY@db.example/shop",
    "postgresql://u:CANARY@@db.example/shop",
    "postgresql://u:pa/CANARY@db.example/shop",
    "postgresql://u:pa:1/CANARY@db.example:5432/shop",
    "postgresql://u:CANARY%zz@db.example/shop",
    "postgresql://u:5432/CANARY@db.example",
    "postgresql://u:CANARY [x]@db.example/shop",
    "postgres://CANARY@u:x@h,k/shop",
    "postgresql://u:SEC?@/CANARY@127.0.0.1:9/db",
    "postgresql://u:SE#C@/CANARYxyz@127.0.0.1:9/db",
    "postgresql://u:12/CANARY#x@127.0.0.1:9/db",
    "postgresql://u:12/CANARY?x@127.0.0.1:9/db",
    "postgresql://u:12/x?CANARY@127.0.0.1:9/db=1",
    "postgresql://u:SEC%ab%abCANARY@127.0.0.1:9/db",
    "host=CANARY%ab@x password=%ab",
    "host=db.example password=pa CANARY",
    "host=db.example password='CANARY",
    "host=CANARY@db.example dbname=shop",
    "host=db.example port=CANARY",
    "CANARY",
]


@pytest.mark.attack("secrets")
@pytest.mark.parametrize("url", TORN)
def test_an_address_that_may_be_torn_is_refused_and_no_part_of_it_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORN_URL", url)
    with pytest.raises(BadInput, match="%40") as error:
        resolve_url("$TORN_URL")
    with pytest.raises(BadInput) as in_runbook:
        resolve_url(url)
    assert "CANARY" not in f"{error.value}{in_runbook.value}{safe_url(url)}{Database(url=url)!r}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%40%2F%3F%23%25%3A@db.example:5432/shop?sslmode=require",
        "postgresql://u:a?b#c[d]e:f@db.example/shop",
        "postgresql://me%40corp@db.example/shop",
        "postgresql:///shop?host=/var/run/postgresql&port=5433",
        "postgresql://u@/shop?host=@abstract",
        "postgresql://[::1]:5432/shop",
        "postgresql://[fe80::1%25eth0]/shop",
        "postgresql://a,b:5433,c/shop?target_session_attrs=read-write",
        "postgresql://db.example/a%40b%2Fc",
        "postgresql://db.example/shop?application_name=a@b",
        "host=db_1.example user='a b' password='p@/:?#%' dbname='x y'",
        "dbname=shop",
        "",
    ],
)
def test_a_clear_address_is_taken_as_it_is(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEAR_URL", url or "dbname=x")
    assert resolve_url("$CLEAR_URL") == (url or "dbname=x")


@pytest.mark.attack("secrets")
@pytest.mark.parametrize(
    "stated",
    [
        "postgresql://u:secret@db.example/shop",
        "postgresql://db.example/shop?user=u&password=secret",
        "postgresql://db.example/shop?pass%77ord=secret",
        "host=db.example password=secret",
        "host=db.example password = 'secret'",
        "postgresql://db.example/shop?sslcert=c&sslkey=k&sslpassword=secret",
    ],
)
@pytest.mark.parametrize("key", ["database", "rehearse_on"])
def test_a_secret_in_a_runbook_is_found_as_it_is_read(stated: str, key: str) -> None:
    target = {"database": "$X"} | {key: stated}
    with pytest.raises(BadInput) as error:
        check_runbook(BOOK.replace("{database: $TEST_URL}", json.dumps(target)), "a.yaml")
    (problem,) = error.value.problems
    assert f"targets.db.{key}" in str(problem)
    assert "put the URL into an environment variable" in problem.message
    assert "secret" not in str(problem)


@pytest.mark.attack("secrets")
def test_a_process_list_shows_no_secret_and_libpq_reads_them_all() -> None:
    url = r"host=127.0.0.1 port=1 user=u dbname=x password='p:a\\ss' sslpassword=key_pass"
    assert "pass" not in without_secrets(url).replace("dbname", "")
    with private_files.for_libpq(secrets_of(url)) as given:
        assert Path(given["PGPASSFILE"]).read_text(encoding="utf-8") == "*:*:*:*:p\\:a\\\\ss\n"
        assert "sslpassword=key_pass" in Path(given["PGSERVICEFILE"]).read_text(encoding="utf-8")
        assert Path(given["PGPASSFILE"]).stat().st_mode & 0o777 == 0o600
        assert given["PGPASSFILE"].startswith("/proc/"), "a killed process leaves no file"
    assert not Path(given["PGPASSFILE"]).exists()


@pytest.mark.attack("secrets")
@given(st.text(min_size=6, max_size=24).filter(lambda text: len(text.strip()) >= 6 and text.isprintable()))
def test_a_secret_is_struck_out_however_it_is_written(secret: str) -> None:
    redact = redacting([secret])
    ways = [
        secret,
        json.dumps({"error": secret}),
        json.dumps({"error": secret}, ensure_ascii=False),
        repr({"error": secret}),
        html.escape(f"<{secret}>"),
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        quote(secret, safe="!'()*~"),
        secret.replace("\\", "\\\\").replace(":", "\\:"),
        base64.b64encode(f"user:{secret}".encode()).decode(),
        base64.b64encode(f"u:{secret}!".encode()).decode(),
        base64.urlsafe_b64encode(secret.encode()).decode(),
        json.dumps(json.dumps(secret)),
        shlex.quote(secret),
        "+ tool --password '" + secret.replace("'", "'\\''") + "'",
        "PASSWORD '" + secret.replace("'", "''") + "'",
        repr(secret.encode()),
        quote(quote(secret, safe=""), safe=""),
        html.escape(secret, quote=False).replace("'", "&apos;").replace('"', "&quot;"),
    ]
    for written in ways:
        assert "***" in redact(written), written


def test_what_is_no_secret_stays() -> None:
    assert redacting(["", "a", "abc"])("a tab with abc") == "a tab with abc"


# program text


@pytest.mark.attack("inputs")
@pytest.mark.parametrize(
    "argv",
    [
        ["sh", "-c", "deploy {{ a }}"],
        ["/bin/bash", "-c", "{{ a }}"],
        ["bash", "-lc", "deploy {{ a }}"],
        ["bash", "-euxc", "deploy '{{ a }}'"],
        ["env", "X=1", "sh", "-c", "deploy {% if a %}x{% endif %}"],
        ["sudo", "-u", "app", "bash", "-c", "deploy {{ a }}"],
        ["timeout", "5", "dash", "-c", "{{ a }}"],
        ["python3.12", "-c", "print('{{ a }}')"],
        ["python", "-Ic", "{{ a }}"],
        ["perl", "-e", "{{ a }}"],
        ["ruby", "-ne", "{{ a }}"],
        ["node", "--eval={{ a }}"],
        ["node", "-p", "{{ a }}"],
        ["psql", "-c", "SELECT '{{ a }}'"],
        ["psql", "-Atc", "SELECT {{ a }}"],
        ["psql", "--command=SELECT {{ a }}"],
        ["psql", "-cSELECT {{ a }}"],
        ["mysql", "-e", "{{ a }}"],
        ["php", "-r", "{{ a }}"],
        ["ssh", "db1", "systemctl restart {{ a }}"],
        ["sed", "-i", "s/x/{{ a }}/", "file"],
        ["{{ a }}", "x"],
        ["bash", "-c", "-e", "echo {{ a }}"],
        ["bash", "-c", "--", "echo {{ a }}"],
        ["perl", "-ne{{ a }}", "f"],
        ["psql", "-Atcselect {{ a }}"],
        ["psql", "-X1c", "select {{ a }}"],
        ["psql", "-o", "{{ a }}"],
        ["mysql", "-Ne", "select {{ a }}"],
        ["mariadb", "-sNe", "{{ a }}"],
        ["su", "-", "postgres", "-c", "psql {{ a }}"],
        ["runuser", "-l", "postgres", "-c", "{{ a }}"],
        ["sqlite3", "db", "select {{ a }}"],
        ["mongosh", "--eval", "{{ a }}"],
        ["clickhouse-client", "-q", "{{ a }}"],
        ["cockroach", "sql", "-e", "{{ a }}"],
        ["rails", "runner", "{{ a }}"],
        ["php", "artisan", "tinker", "--execute={{ a }}"],
        ["Rscript", "-e", "{{ a }}"],
        ["env", "-S", "sh {{ a }}"],
        ["flock", "f", "-c", "{{ a }}"],
        ["ssh", "-oProxyCommand={{ a }}", "db1"],
        ["ssh", "-p", "22", "db1", "sudo", "restart", "{{ a }}"],
        ["ansible", "all", "-a", "{{ a }}"],
        ["awk", "/{{ a }}/", "f"],
        ["awk", "-v", "x=1", "{ print {{ a }} }", "f"],
        ["sed", "1s/x/{{ a }}/", "f"],
        ["sed", "-n", "-e", "s/{{ a }}/x/p", "f"],
        ["docker", "exec", "db", "sh", "-c", "{{ a }}"],
        ["kubectl", "exec", "pod", "--", "bash", "-lc", "{{ a }}"],
        ["busybox", "sh", "-c", "{{ a }}"],
    ],
)
def test_an_input_is_no_part_of_program_text(argv: list[str]) -> None:
    assert "{" in code_from_input(argv)


@pytest.mark.parametrize(
    "argv",
    [
        ["deploy", "{{ a }}"],
        ["sh", "deploy.sh", "{{ a }}"],
        ["sh", "-c", 'deploy "$1"', "sh", "{{ a }}"],
        ["bash", "-e", "deploy.sh", "--branch={{ a }}"],
        ["psql", "-v", "name={{ a }}", "-f", "x.sql"],
        ["psql", "-vname={{ a }}", "-f", "x.sql"],
        ["psql", "-c", "SELECT 1", "{{ a }}"],
        ["python3", "tool.py", "-c", "{{ a }}"],
        ["bash", "deploy.sh", "-c", "{{ a }}"],
        ["python", "-m", "app", "-c", "{{ a }}"],
        ["node", "server.js", "-p", "{{ port }}"],
        ["perl", "tool.pl", "-e", "{{ env }}"],
        ["sed", "-i.bak", "-f", "s.sed", "{{ file }}"],
        ["awk", "-f", "x.awk", "{{ file }}"],
        ["awk", "-v", "name={{ a }}", "{ print name }", "{{ file }}"],
        ["tools/sync", "--from", "node", "-e", "{{ a }}"],
        ["helm", "upgrade", "web", "node", "-p", "{{ a }}"],
        ["kubectl", "cordon", "node", "-e", "{{ a }}"],
        ["psql", "-d", "{{ name }}", "-f", "x.sql"],
        ["ssh", "-i", "{{ key }}", "db1", "restart"],
        ["docker", "exec", "db", "sh", "-c", 'deploy "$1"', "sh", "{{ a }}"],
        ["sudo", "-u", "app", "deploy", "{{ a }}"],
        ["python3", "tool.py", "{{ a }}"],
        ["ssh", "{{ host }}", "systemctl restart app"],
        ["kubectl", "rollout", "undo", "deploy/{{ a }}"],
        ["sh", "-c", "deploy"],
    ],
)
def test_an_input_is_an_argument_of_a_program_like_any_other(argv: list[str]) -> None:
    assert code_from_input(argv) == ""


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgresql+psycopg://a:CANARY@h/d", "it begins with postgresql+psycopg://, which libpq does not know"),
        ("jdbc:postgresql://h/d?user=a&password=CANARY", "it begins with jdbc:postgresql://"),
        ("postgresql://a:CANARY@h/d?schema=public", "it has schema=, which libpq does not know"),
        ("postgresql://a:CANARY@h/d?pgbouncer=true&connection_limit=1", "it has connection_limit= and it has pgbouncer="),
        ("postgresql://a:CANARY@h/d?pool=5&sslmode=require", "it has pool="),
        ("postgresql://a:CANARY@h/d?CANARY=1", "cannot be read; write postgresql://"),
    ],
)
def test_words_of_frameworks_in_an_address_are_named_and_nothing_that_may_be_a_secret(
    url: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADDRESS", url)
    with pytest.raises(BadInput) as refused:
        resolve_url("$ADDRESS")
    assert named in str(refused.value)
    assert "CANARY" not in str(refused.value)
