from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.plans import PEOPLE, START, approve

from gonogo.core.model.people import (
    GO,
    NO_GO,
    Approve,
    Item,
    Person,
    Vote,
    agreed,
    holds,
    missing_votes,
    most_votes,
    why_vote_rejected,
)

ROLES = ("lead", "dba", "ops", "anna", "emil")


def vote(person: str, decision: str = GO) -> Vote:
    return Vote(seq=7, decision=decision, person=person, proved=False, at=START)


def votes(*people: str) -> list[Vote]:
    return [vote(person) for person in people]


# who holds what


@pytest.mark.parametrize(
    ("person", "names", "expected"),
    [
        ("anna", ["lead"], True),
        ("anna", ["dba"], False),
        ("anna", ["dba", "lead"], True),
        ("anna", ["anna"], True),
        ("emil", ["emil"], True),
        ("emil", ["lead"], False),
        ("ben", ["lead"], True),
        ("ben", ["dba"], True),
        ("ben", ["carla"], False),
        ("anna", [], False),
        ("", [""], False),
        ("stranger", ["stranger"], False),
        ("lead", ["lead"], False),
    ],
)
def test_a_person_holds_their_own_name_and_their_roles_and_a_stranger_holds_nothing(
    person: str, names: list[str], expected: bool
) -> None:
    assert holds(PEOPLE, person, names) is expected


# when enough have agreed


@pytest.mark.parametrize(
    ("rule", "said", "expected"),
    [
        (approve("lead"), [], False),
        (approve("lead"), ["anna"], True),
        (approve("lead"), ["ben"], True),
        (approve("lead"), ["carla"], False),
        (approve("lead"), ["stranger"], False),
        (approve("emil"), ["emil"], True),
        (approve("lead", "dba"), ["carla"], True),
        # two of one role, where there are more roles than are asked for
        (approve("lead", "dba", "ops", quorum=2), ["anna", "ben"], True),
        (approve("lead", "dba", "ops", quorum=2), ["anna", "anna"], False),
        (approve("lead", "dba", "ops", quorum=2), ["ben"], False),
        # as many as there are roles: each of them must agree
        (approve("lead", "dba", quorum=2), ["anna", "carla"], True),
        (approve("lead", "dba", quorum=2), ["anna", "ben"], True),
        (approve("lead", "ops", quorum=2), ["anna", "ben"], False),
        (approve("lead", "ops", quorum=2), ["anna", "dora"], True),
        (approve("lead", "dba", "ops", quorum=3), ["anna", "ben", "carla"], False),
        (approve("lead", "dba", "ops", quorum=3), ["ben", "dora"], False),
        (approve("lead", "dba", "ops", quorum=3), ["anna", "ben", "dora"], True),
        (approve("anna", "emil", quorum=2), ["anna", "emil"], True),
        (approve("anna", "emil", quorum=2), ["anna", "ben"], False),
        # a quorum beyond the roles needs each of them, and as many people
        (approve("lead", quorum=2), ["anna"], False),
        (approve("lead", quorum=2), ["anna", "ben"], True),
        (approve("lead", "dba", quorum=3), ["anna", "ben"], False),
        (approve("lead", "dba", quorum=3), ["anna", "ben", "carla"], True),
    ],
)
def test_a_quorum_is_of_different_people_and_one_as_large_as_the_list_needs_each_role(
    rule: Approve, said: list[str], expected: bool
) -> None:
    assert agreed(rule, PEOPLE, votes(*said)) is expected


def test_one_person_with_two_roles_counts_once() -> None:
    rule = approve("lead", "dba", quorum=2)
    assert not agreed(rule, PEOPLE, votes("ben", "ben"))
    assert missing_votes(rule, PEOPLE, votes("ben", "ben")).startswith("1 of 2 said go")
    assert agreed(rule, PEOPLE, votes("ben", "anna")), "ben stands for one role, whichever"


@pytest.mark.parametrize("decision", [NO_GO, "", "Go", "yes", "None"])
def test_only_a_go_is_a_go(decision: str) -> None:
    assert not agreed(approve("lead"), PEOPLE, [vote("anna", decision)])
    assert missing_votes(approve("lead"), PEOPLE, [vote("anna", decision)]) == "0 of 1 said go; waits for lead"


# what is lacking, in words


@pytest.mark.parametrize(
    ("rule", "said", "expected"),
    [
        (approve("lead"), [], "0 of 1 said go; waits for lead"),
        (approve("lead", "dba"), [], "0 of 1 said go; waits for lead or dba"),
        (approve("lead", "dba", "ops", quorum=2), ["carla"], "1 of 2 said go; waits for lead or dba or ops"),
        (approve("lead", "ops", quorum=2), ["dora"], "1 of 2 said go; waits for lead"),
        (approve("lead", "ops", quorum=2), ["anna", "ben"], "2 of 2 said go; waits for ops"),
        (approve("lead", quorum=2), ["anna"], "1 of 2 said go; waits for lead"),
        (approve("anna", "ben", "carla", quorum=2), ["anna"], "1 of 2 said go; waits for ben or carla"),
        (approve("lead"), ["emil", "stranger"], "0 of 1 said go; waits for lead"),
    ],
)
def test_what_is_lacking_says_how_many_agreed_and_whose_word_is_waited_for(rule: Approve, said: list[str], expected: str) -> None:
    assert missing_votes(rule, PEOPLE, votes(*said)) == expected


# why a vote does not count


def why(
    person: str,
    rule: Approve,
    *,
    decision: str = GO,
    given: Sequence[Vote] = (),
    launcher: str = "",
    needs_proof: bool = False,
    proved: bool = False,
) -> str:
    return why_vote_rejected(rule, PEOPLE, given, person, decision, launcher=launcher, needs_proof=needs_proof, proved=proved)


STRICT = approve("lead", not_launcher=True)
STRANGER = "'stranger' is not one of the runbook's people; there are anna, ben, carla, dora, emil"
WITHOUT_ROLE = "carla holds none of the roles that decide here: lead"
LAUNCHED = "anna launched this, and the launcher does not decide here"
UNPROVED = "the target is protected, so anna must prove who they are with a one-time code"
AGAIN = "anna has voted already"


@pytest.mark.parametrize(
    ("person", "given", "launcher", "proof", "expected"),
    [
        # everything is wrong at once, and less and less of it: the first reason is the one that is said
        ("stranger", ["stranger"], "stranger", (True, False), STRANGER),
        ("carla", ["carla"], "carla", (True, False), WITHOUT_ROLE),
        ("anna", ["anna"], "anna", (True, False), LAUNCHED),
        ("anna", ["anna"], "ben", (True, False), UNPROVED),
        ("anna", ["anna"], "ben", (True, True), AGAIN),
        ("anna", ["anna"], "ben", (False, False), AGAIN),
        ("anna", ["ben", "carla"], "ben", (True, True), ""),
        ("anna", [], "ben", (False, False), ""),
        ("anna", [], "", (False, True), ""),
    ],
)
def test_a_vote_is_refused_with_the_first_reason_in_their_order(
    person: str, given: list[str], launcher: str, proof: tuple[bool, bool], expected: str
) -> None:
    needs, proved = proof
    assert why(person, STRICT, given=votes(*given), launcher=launcher, needs_proof=needs, proved=proved) == expected


def test_the_launcher_may_decide_unless_the_rule_says_otherwise() -> None:
    assert why("anna", approve("lead"), launcher="anna") == ""
    assert why("anna", approve("lead", not_launcher=True), launcher="anna") == LAUNCHED
    assert why("ben", approve("lead", not_launcher=True), launcher="anna") == ""


@pytest.mark.parametrize(
    ("first", "then", "expected"), [(GO, GO, AGAIN), (GO, NO_GO, ""), (NO_GO, GO, AGAIN), (NO_GO, NO_GO, AGAIN)]
)
def test_whoever_said_go_may_still_say_no_go_and_nothing_else_is_said_twice(first: str, then: str, expected: str) -> None:
    assert why("anna", approve("lead"), decision=then, given=[vote("ben"), vote("anna", first)]) == expected
    assert why("ben", approve("lead"), decision=then, given=[vote("anna", first)]) == ""


def test_after_a_go_and_a_no_go_there_is_nothing_left_to_say() -> None:
    given = [vote("anna"), vote("anna", NO_GO)]
    assert [why("anna", approve("lead"), decision=decision, given=given) for decision in (GO, NO_GO)] == [AGAIN, AGAIN]


def test_a_runbook_without_people_has_nobody_who_may_vote() -> None:
    said = why_vote_rejected(approve("lead"), {}, [], "anna", GO, launcher="", needs_proof=False, proved=False)
    assert said == "'anna' is not one of the runbook's people; there are none"


# how many could agree


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (approve("lead"), 2),
        (approve("lead", "dba"), 3),
        (approve("lead", "dba", quorum=2), 3),
        (approve("lead", "nobody"), 2),
        (approve("lead", "nobody", quorum=2), 0),
        (approve("nobody"), 0),
        (approve("anna", "lead"), 2),
        (approve("emil", "ops", quorum=2), 2),
    ],
)
def test_as_many_can_say_go_as_hold_a_role_and_nobody_where_a_needed_role_has_no_one(rule: Approve, expected: int) -> None:
    assert most_votes(rule, PEOPLE) == expected


# any people and any rule


@st.composite
def rules(draw: st.DrawFn) -> Approve:
    roles = draw(st.lists(st.sampled_from(ROLES), min_size=1, max_size=4, unique=True))
    return approve(*roles, quorum=draw(st.integers(1, 5)))


groups = st.dictionaries(
    st.sampled_from(("anna", "ben", "carla", "dora", "emil")),
    st.lists(st.sampled_from(("lead", "dba", "ops")), max_size=3, unique=True).map(lambda r: Person(name="X", roles=tuple(r))),
)
said = st.lists(st.sampled_from(("anna", "ben", "carla", "dora", "emil", "stranger")), max_size=7)


@given(rules(), groups)
def test_a_quorum_can_be_reached_exactly_where_enough_could_say_go(rule: Approve, people: Mapping[str, Person]) -> None:
    everybody = votes(*people)
    assert agreed(rule, people, everybody) == (most_votes(rule, people) >= rule.quorum)


@given(rules(), groups, said, said)
def test_one_more_go_never_takes_agreement_away(
    rule: Approve, people: Mapping[str, Person], first: list[str], more: list[str]
) -> None:
    if agreed(rule, people, votes(*first)):
        assert agreed(rule, people, votes(*first, *more))


@given(rules(), groups, said)
def test_who_agreed_does_not_depend_on_the_order_or_on_saying_it_twice(
    rule: Approve, people: Mapping[str, Person], order: list[str]
) -> None:
    once = list(dict.fromkeys(reversed(order)))
    assert agreed(rule, people, votes(*order)) == agreed(rule, people, votes(*once))


@given(rules(), groups, said)
def test_whoever_has_no_part_in_it_changes_nothing(rule: Approve, people: Mapping[str, Person], order: list[str]) -> None:
    able = [person for person in order if why_in(people, rule, person) == ""]
    assert agreed(rule, people, votes(*order)) == agreed(rule, people, votes(*able))


def why_in(people: Mapping[str, Person], rule: Approve, person: str) -> str:
    return why_vote_rejected(rule, people, [], person, GO, launcher="", needs_proof=False, proved=False)


@given(rules(), groups, said)
def test_agreement_needs_as_many_different_people_as_the_quorum(
    rule: Approve, people: Mapping[str, Person], order: list[str]
) -> None:
    if agreed(rule, people, votes(*order)):
        able = {person for person in order if holds(people, person, rule.roles)}
        assert len(able) >= rule.quorum
        if rule.quorum >= len(rule.roles):
            assert all(any(holds(people, person, [role]) for person in able) for role in rule.roles)


# what a runbook may say of them


@pytest.mark.parametrize(
    "body",
    [
        {"roles": []},
        {},
        {"roles": ["lead"], "quorum": 0},
        {"roles": ["lead"], "quorum": -1},
        {"roles": ["lead"], "quorum": 51},
        {"roles": ["lead"], "quorum": 1.5},
        {"roles": ["lead"], "within": "0s"},
        {"roles": ["lead"], "within": "60"},
        {"roles": ["lead"], "votes": 2},
    ],
)
def test_a_rule_that_nobody_could_follow_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Approve.model_validate(body)


def test_one_role_stands_for_a_list_and_a_day_is_what_they_have() -> None:
    rule = Approve.model_validate({"roles": "lead"})
    assert (rule.roles, rule.quorum, rule.within, rule.not_launcher) == (("lead",), 1, timedelta(days=1), False)


@pytest.mark.parametrize("item", ["", "Backup", "two words", "-x", "x" * 49, None])
def test_a_box_has_a_short_name(item: object) -> None:
    with pytest.raises(ValidationError):
        Item.model_validate({"item": item})


@pytest.mark.attack("people")
def test_a_key_under_which_anybody_can_sign_is_none() -> None:
    def public(point: bytes) -> str:
        return "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + point).decode()

    for hexed in ("00" * 32, "01" + "00" * 31, "01" + "00" * 30 + "80", "ec" + "ff" * 30 + "7f", "ec" + "ff" * 31):
        with pytest.raises(ValueError, match="is no public key"):
            Person(name="Mallory", key=public(bytes.fromhex(hexed)))
