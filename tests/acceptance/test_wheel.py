"""The wheel works from an empty folder, in a fresh environment, and puts one name into site-packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from support.command import environment

from gonogo.project import ROOT

pytestmark = pytest.mark.xdist_group("wheel")

UV = os.environ.get("UV") or shutil.which("uv")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not UV:
        pytest.skip("uv is not installed, so no wheel can be built (pip install uv)")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([UV, "build", "--wheel", "--quiet", "--out-dir", folder, ROOT], check=True, timeout=300)
    return next(folder.glob("*.whl"))


def test_the_wheel_puts_one_name_into_site_packages(wheel: Path) -> None:
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}

    assert {name for name in names if not name.endswith(".dist-info")} == {"gonogo"}


def test_the_demo_runs_from_the_wheel_in_an_empty_folder_and_a_users_own_flows_do_not_win(wheel: Path, open_path: Path) -> None:
    assert UV
    subprocess.run([UV, "venv", "--quiet", open_path / "env"], check=True, timeout=120)
    python = open_path / "env" / "bin" / "python"
    subprocess.run([UV, "pip", "install", "--quiet", "--python", python, wheel], check=True, timeout=600)
    empty = open_path / "empty"
    (empty / "flows").mkdir(parents=True)
    (empty / "flows" / "__init__.py").write_text("raise SystemExit('the wrong flows')\n")
    env = environment()
    env.pop("PYTHONPATH", None)
    env.pop("VIRTUAL_ENV", None)

    done = subprocess.run(
        [
            open_path / "env" / "bin" / "gonogo",
            "demo",
            "--organizations",
            "500",
            "--without-prefect",
            "--folder",
            open_path / "demo",
        ],
        cwd=empty,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "ROLLED BACK" in done.stdout
    assert "DONE" in done.stdout
    assert "0 failed" in done.stdout
    assert len(list((open_path / "demo" / ".gonogo" / "reports").glob("*.html"))) == 2

    told = "from gonogo import BadInput, launch, load, plan; print(len(plan(load('goodbuy-hq')).plan.tasks))"
    public = subprocess.run([python, "-c", told], cwd=empty, env=env, capture_output=True, text=True, timeout=180, check=False)
    assert public.returncode == 0, public.stderr
    assert int(public.stdout) > 0
