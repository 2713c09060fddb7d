"""Five people with five laptops share no file of secrets: who has a key of their own votes with it, and nobody else can."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest
from support.command import environment, gonogo
from support.gate_desk import BOOK, FILES, Desk

from gonogo.core.engine.events import Kind

pytestmark = pytest.mark.attack("people")
Make = Callable[..., Path]
WHERE = ("book", "-t", "guarded")


class Laptop:
    """A machine of one person's: a checkout of the project, a key, and no file of the project's secrets."""

    def __init__(self, person: str, home: Path, url: str) -> None:
        self.person, self.home = person, home
        self.project = home / "project"
        self.env = environment(TEST_URL=url, HOME=str(home), XDG_CONFIG_HOME=str(home / "config"))

    def __call__(self, *arguments: str) -> CompletedProcess[str]:
        done = gonogo(*arguments, cwd=self.project, env=self.env)
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return done

    def make_key(self) -> str:
        done = self("people", "key")
        assert done.returncode == 0, done.stderr
        found = re.search(r"key: (ssh-ed25519 \S+)", done.stdout)
        assert found
        file = self.home / "config/gonogo/key"
        assert file.stat().st_mode & 0o777 == 0o600
        return found[1]

    def go(self, *more: str, decision: str = "go") -> CompletedProcess[str]:
        return self(decision, *WHERE, "--as", self.person, *more)


class Team:
    """A lead and an owner with laptops, a machine that runs things, and the runbook that names their keys."""

    def __init__(self, make_project: Make, url: str, tmp_path: Path, book: str = BOOK) -> None:
        self.laptops = {}
        keys = {}
        server = make_project(book, **FILES)
        for person in ("lead", "owner", "mallory"):
            laptop = self.laptops[person] = Laptop(person, tmp_path / person, url)
            for folder in ("runbooks", "sql_templates"):
                shutil.copytree(server / folder, laptop.project / folder)
            keys[person] = laptop.make_key()
        text = book
        for person in ("lead", "owner"):
            text = re.sub(rf"({person}: \{{name: [^}}]*)\}}", rf'\1, key: "{keys[person]} {person}@laptop"}}', text)
        assert text.count("ssh-ed25519") == 2
        for project in (server, *(laptop.project for laptop in self.laptops.values())):
            (project / "runbooks/book.yaml").write_text(text, encoding="utf-8")
        self.server = Desk(server, url, "guarded")
        self.server.enroll("dev")
        # somebody who keeps to one-time codes launches it, where the project's own key is
        done = self.server.launch("--as", "dev", "--code", self.server.code("dev"))
        assert done.returncode == 4, done.stdout + done.stderr

    @property
    def lead(self) -> Laptop:
        return self.laptops["lead"]

    @property
    def owner(self) -> Laptop:
        return self.laptops["owner"]

    @property
    def mallory(self) -> Laptop:
        return self.laptops["mallory"]


@pytest.fixture
def team(make_project: Make, old_url: str, tmp_path: Path) -> Team:
    return Team(make_project, old_url, tmp_path)


def test_people_vote_from_their_own_machines_and_the_runner_verifies_it(team: Team) -> None:
    done = team.lead.go("--comment", "fine")
    assert done.returncode == 0, done.stderr
    assert "lead (proved) says go" in done.stdout
    assert json.loads(team.owner.go("--json").stdout)["proved"] is True
    assert not (team.lead.project / ".gonogo/keys.json").exists(), "nothing is shared"
    done = team.server.resume()
    assert done.returncode == 0, done.stdout + done.stderr
    assert team.server.made()


def test_nobody_else_can_vote_for_them(team: Team) -> None:
    # with another key, without one, with a code made from the project's file, and in a form
    mallory = team.mallory
    for arguments in (["--as", "lead"], ["--as", "lead", "--code", "123456"]):
        done = mallory("go", *WHERE, *arguments)
        assert done.returncode == 3
        assert "has a key of their own" in done.stderr, done.stderr
    shutil.rmtree(mallory.home / "config")
    done = mallory("go", *WHERE, "--as", "lead")
    assert (done.returncode, "make a key with `gonogo people key`" in done.stderr) == (3, True)
    # whoever has the project's file of secrets makes nobody's vote either
    assert team.server("people", "enroll", "lead").returncode == 0
    secret = json.loads((team.server.project / ".gonogo/keys.json").read_text(encoding="utf-8"))["lead"]["secret"]
    import pyotp

    done = team.server("go", *WHERE, "--as", "lead", "--code", pyotp.TOTP(secret).now())
    assert done.returncode == 3
    assert team.owner.go().returncode == 0
    assert team.server.resume("--no-wait").returncode == 4
    assert not team.server.made()


def test_a_signature_that_was_written_copied_or_changed_by_hand_does_not_count(team: Team) -> None:
    assert team.owner.go().returncode == 0
    (mine,) = team.server.bodies(Kind.VOTE)
    for change in (
        {"person": "lead"},
        {"person": "lead", "signature": ""},
        {"person": "lead", "signature": "ed25519:AAAA"},
        {"person": "lead", "signature": "ed25519:\u00e9"},
    ):
        team.server.forge(Kind.VOTE, "lead", **{**mine, **change})
        done = team.server.resume("--no-wait")
        assert done.returncode == 4, done.stdout
        assert "is not signed with their key" in done.stdout
        assert not team.server.made()


def test_a_key_with_a_passphrase_and_one_that_somebody_has_for_ssh_will_do(team: Team, tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    file = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lead@work", "-f", file], check=True)
    public = file.with_suffix(".pub").read_text(encoding="utf-8").strip()
    env = {**team.lead.env, "GONOGO_KEY": str(file)}
    shown = gonogo("people", "key", cwd=team.lead.project, env=env)
    assert public.rsplit(" ", 1)[0] in shown.stdout
    file.chmod(0o644)
    done = gonogo("go", *WHERE, "--as", "lead", cwd=team.lead.project, env=env)
    assert (done.returncode, "can be read by others" in done.stderr) == (3, True)
    file.chmod(0o600)
    rsa = tmp_path / "id_rsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", rsa], check=True)
    done = gonogo("go", *WHERE, "--as", "lead", cwd=team.lead.project, env={**env, "GONOGO_KEY": str(rsa)})
    assert (done.returncode, "holds no Ed25519 key" in done.stderr) == (3, True), done.stderr


def test_who_accepts_a_loss_or_settles_doubt_proves_it_with_their_own_key(team: Team) -> None:
    assert team.lead.go().returncode == 0
    assert team.owner.go().returncode == 0
    assert team.server.resume().returncode == 0
    back = ("rollback", *WHERE, "--without-prefect", "--reason", "wrong", "--as")
    assert team.mallory(*back, "lead").returncode == 3
    assert team.lead(*back, "lead").returncode == 4
    done = team.owner(*back, "owner")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "does not have the key that the run was signed with, so it carries nothing out" in done.stdout
    assert team.server.made()
    # both have agreed: whoever carries it out needs nobody's key
    done = team.server("rollback", *WHERE, "--without-prefect", "--reason", "wrong", "--as", "dev")
    assert done.returncode == 11, done.stdout + done.stderr
    assert not team.server.made()


def test_a_data_loss_is_accepted_from_a_machine_of_ones_own_and_carried_out_where_the_projects_key_is(
    make_project: Make, old_url: str, tmp_path: Path
) -> None:
    team = Team(make_project, old_url, tmp_path, BOOK[: BOOK.index("rollback:\n")])
    assert team.lead.go().returncode == 0
    assert team.owner.go().returncode == 0
    assert team.server.resume().returncode == 0
    with psycopg.connect(old_url, autocommit=True) as connection:
        connection.execute("INSERT INTO made VALUES (1)")
    back = ("rollback", *WHERE, "--without-prefect", "--reason", "wrong")
    assert team.server(*back, "--as", "dev").returncode == 4, "rows would be lost"
    accept = (*back, "--continue", "--accept-loss", "--as", "lead")
    assert team.mallory(*accept).returncode == 3
    done = team.mallory("rollback", *WHERE, "--without-prefect", "--continue")
    assert (done.returncode, "this machine does not have the project's key" in done.stderr) == (3, True), done.stderr
    assert "ledger sign" not in done.stderr
    done = team.lead(*accept)
    assert (done.returncode, "recorded for" in done.stdout) == (4, True), done.stdout + done.stderr
    assert team.server.made()
    done = team.server("rollback", *WHERE, "--without-prefect", "--continue")
    assert done.returncode == 11, done.stdout + done.stderr
    assert not team.server.made()


def test_a_vote_that_somebody_wrote_in_a_persons_name_does_not_keep_them_from_voting(team: Team) -> None:
    assert team.owner.go().returncode == 0
    (mine,) = team.server.bodies(Kind.VOTE)
    team.server.forge(Kind.VOTE, "lead", **{**mine, "person": "lead"})
    done = team.lead.go()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "waits for" not in done.stdout


def test_an_approval_that_somebody_wrote_neither_counts_nor_keeps_its_person_from_approving(team: Team) -> None:
    assert team.lead.go().returncode == 0
    assert team.owner.go().returncode == 0
    assert team.server.resume().returncode == 0
    back = ("rollback", *WHERE, "--without-prefect", "--reason", "wrong", "--as")
    vote = team.server.bodies(Kind.VOTE)[0]
    for person in ("lead", "owner"):
        team.server.forge(Kind.VOTE, person, **{**vote, "person": person, "on": "roll back"})
    done = team.lead(*back, " lead ")
    assert (done.returncode, "1 of 2 said go" in done.stdout) == (4, True), done.stdout + done.stderr
    status = json.loads(team.server("status", *WHERE, "--json").stdout)
    assert "1 of 2 said go" in status["waits"], status["waits"]
    assert team.owner(*back, "owner").returncode == 4
    done = team.server("rollback", *WHERE, "--without-prefect", "--as", "dev")
    assert done.returncode == 11, done.stdout + done.stderr


def test_a_machine_without_the_projects_key_makes_none_unless_it_is_told_to(team: Team) -> None:
    sign = ("ledger", "sign", *WHERE, "--as", "lead")
    done = team.lead(*sign)
    assert (done.returncode, "does not have the project's key" in done.stderr) == (3, True), done.stderr
    assert not (team.lead.project / ".gonogo/keys.json").exists()
    assert team.lead(*sign, "--make-key").returncode == 0
    assert team.lead.go().returncode == 0
    assert team.owner.go().returncode == 0
    # the key that the run was begun with is lost: it goes on where somebody answered for it
    done = team.lead("resume", *WHERE, "--without-prefect")
    assert done.returncode == 0, done.stdout + done.stderr
    assert team.server.made()
