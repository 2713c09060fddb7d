"""Who has a part in a run, and what it takes until they have agreed. Pure: names in, sentences out.

Whether somebody is who they say is proved elsewhere (`gonogo/keys.py`); here is only what follows from it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field, field_validator

from gonogo.core.model.fields import Duration, Identifier, Names, Part

GO, NO_GO = "go", "no-go"
#: an Ed25519 key in the form of OpenSSH (RFC 8709, 4), and a comment behind it
_PUBLIC_KEY = re.compile(r"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}( .*)?")


#: the points of small order, under which anybody can sign (libsodium refuses the same)
_WEAK = frozenset(
    bytes.fromhex(point)
    for point in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)


def _point(public: str) -> bytes:
    """Return the point of a public key, without its sign."""
    point = base64.b64decode(public.split()[1])[-32:]
    return point[:31] + bytes([point[31] & 0x7F])


class Person(Part):
    """Somebody with a part in the run."""

    name: str = Field(description="What they are called in updates and reports.", min_length=1)
    roles: Names = Field(default=(), description="The roles they hold.")
    slack: str = Field(default="", description="Their Slack member id, for mentions.")
    key: str = Field(
        default="",
        description="Their own public key, `ssh-ed25519 AAAA...` (`gonogo people key`). With it they prove who they are by their"
        " private key, and no longer by a one-time code.",
    )

    @field_validator("key")
    @classmethod
    def _is_public(cls, value: str) -> str:
        if value and (not _PUBLIC_KEY.fullmatch(value) or _point(value) in _WEAK):
            raise ValueError("it is no public key as `gonogo people key` shows it: ssh-ed25519 AAAA...")
        return value


Targets = Literal["all", "protected"]


class Approve(Part):
    """How many people, with which roles, must agree."""

    roles: Names = Field(
        description="The people, or the roles, whose vote counts. With a quorum as large as this list, each must approve.",
        min_length=1,
    )
    quorum: Annotated[int, Field(ge=1, le=50)] = Field(default=1, description="How many different people must say go.")
    within: Annotated[Duration, Field(gt=timedelta(0))] = Field(
        default=timedelta(days=1), description="How long they have; after that, a gate is no-go."
    )
    not_launcher: bool = Field(default=False, description="Whether the one who launched the phase is excluded.")
    targets: Targets = Field(default="all", description="Where they are asked: on all targets, or on `protected` ones only.")


class Item(Part):
    """One item of a checklist, confirmed by a person who answers for it."""

    item: Identifier = Field(description="Its short name, once in the runbook.")
    title: str = Field(default="", description="What is confirmed.")
    owner: str = Field(default="", description="The person or role that confirms it; anybody in `people` without one.")
    evidence: bool = Field(default=False, description="Whether it is confirmed only with evidence (`--evidence`).")
    targets: Targets = Field(default="all", description="Where it is asked: on all targets, or on `protected` ones only.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What somebody said, and when."""

    seq: int
    decision: str
    person: str
    proved: bool
    at: datetime
    #: the level that they agree to, where it is about that and they named one; and the phase whose start it leads to
    level: str = ""
    back_to: int | None = None


def holds(people: Mapping[str, Person], person: str, names: Iterable[str]) -> bool:
    """Say whether a person is one of some people or holds one of some roles."""
    return person in people and bool({person, *people[person].roles} & set(names))


def agreed(rule: Approve, people: Mapping[str, Person], votes: Sequence[Vote]) -> bool:
    """Say whether enough different people said go."""
    said = {vote.person for vote in votes if vote.decision == GO and holds(people, vote.person, rule.roles)}
    return len(said) >= rule.quorum and not _silent_roles(rule, people, said)


def _silent_roles(rule: Approve, people: Mapping[str, Person], said: Iterable[str]) -> list[str]:
    """Return the roles that must agree and have not, where each of them must."""
    if rule.quorum < len(rule.roles):
        return []
    said = list(said)
    return [role for role in rule.roles if not any(holds(people, person, [role]) for person in said)]


def missing_votes(rule: Approve, people: Mapping[str, Person], votes: Sequence[Vote]) -> str:
    """Say what is missing until enough people agree: `1 of 2 said go; waits for project_owner`."""
    said = {vote.person for vote in votes if vote.decision == GO and holds(people, vote.person, rule.roles)}
    silent = _silent_roles(rule, people, said)
    open_ = [role for role in rule.roles if any(holds(people, p, [role]) and p not in said for p in people)]
    waits = " and ".join(silent) if silent else " or ".join(open_ or rule.roles)
    return f"{len(said)} of {rule.quorum} said go; waits for {waits}"


def why_vote_rejected(
    rule: Approve,
    people: Mapping[str, Person],
    votes: Sequence[Vote],
    person: str,
    decision: str,
    *,
    launcher: str,
    needs_proof: bool,
    proved: bool,
) -> str:
    """Say why a vote does not count, or nothing where it does.

    Args:
        rule: whose word counts.
        people: who there is.
        votes: what was said already.
        person: who votes.
        decision: what they say; a no-go is heard also from somebody who said go.
        launcher: who launched the phase.
        needs_proof: whether a name alone is not enough.
        proved: whether they proved who they are.
    """
    if person not in people:
        return f"{person!r} is not one of the runbook's people; there are {', '.join(people) or 'none'}"
    if not holds(people, person, rule.roles):
        return f"{person} holds none of the roles that decide here: {', '.join(rule.roles)}"
    if rule.not_launcher and person == launcher:
        return f"{person} launched this, and the launcher does not decide here"
    if needs_proof and not proved:
        return f"the target is protected, so {person} must prove who they are with a one-time code"
    if any(vote.person == person and decision in (vote.decision, GO) for vote in votes):
        return f"{person} has voted already"
    return ""


def most_votes(rule: Approve, people: Mapping[str, Person]) -> int:
    """Return how many different people could say go, to find a quorum that nobody can reach."""
    able = [person for person in people if holds(people, person, rule.roles)]
    return 0 if _silent_roles(rule, people, able) else len(able)


def least_votes(rule: Approve, people: Mapping[str, Person]) -> int:
    """Return how many could still say go where the launcher is excluded and only those who could may launch."""
    able = [person for person in people if holds(people, person, rule.roles)]
    if not rule.not_launcher or len(able) < len(people):
        return most_votes(rule, people)
    kept = [{p: people[p] for p in people if p != launcher} for launcher in able]
    return max((most_votes(rule, rest) for rest in kept), default=0)
