"""A program gets the address of its database in the form that it reads, and in a rehearsal none that names the target."""

from __future__ import annotations

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from gonogo.errors import StepError
from gonogo.external.process import _address, _names, redactor, run_command

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


def test_a_program_that_is_told_of_the_target_is_not_started_on_a_copy(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="its argument 2 names the target"):
        run_command(["psql", "-d", "shop"], folder=tmp_path, url="dbname=copy", copy_of=TARGET, limit=5)


def test_a_password_is_struck_out_in_every_form_that_an_address_has() -> None:
    url = "postgresql://app:s3cr%2Fet%2Bpw@db.example/x"
    assert "s3cr" not in redactor([], url)(f"cannot reach {_address(conninfo_to_dict(url))} nor s3cr/et+pw")
