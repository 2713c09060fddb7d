from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gonogo import clock
from gonogo.errors import BadInput, Exit, GonogoError, Refused
from gonogo.keys import Keys, NotProved
from gonogo.project import ROOT

pytestmark = pytest.mark.attack("people")
#: a moment at which a code begins to be shown
START = datetime(2025, 10, 12, 16, 53, tzinfo=UTC)
assert START.timestamp() % 30 == 0
STALE = "the code was used already; wait for the next one"
WRONG = "that is not anna's current code"


@dataclass
class Time:
    """What time it is, as far as gonogo knows."""

    now: datetime = START

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Device:
    """What shows a person's codes: all that it has is what the QR code brought it."""

    address: str
    time: Time

    def code(self, later: int = 0) -> str:
        """Return the code that it shows, or the one some codes later."""
        return self.totp.at(self.time.now + timedelta(seconds=30 * later))

    @property
    def totp(self) -> pyotp.TOTP:
        made = pyotp.parse_uri(self.address)
        assert isinstance(made, pyotp.TOTP)
        return made

    def wrong(self) -> str:
        """Return a code that it shows neither now, nor soon, nor a while ago."""
        shown = {self.code(later) for later in range(-40, 40)}
        return next(code for code in ("000000", "111111", "222222") if code not in shown)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(clock, "now", lambda: made.now)
    return made


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(file=tmp_path / "state" / "keys.json")


@pytest.fixture
def anna(keys: Keys, time: Time) -> Device:
    return Device(keys.enroll("anna"), time)


def refusal(keys: Keys, code: str, person: str = "anna") -> str:
    with pytest.raises(NotProved) as raised:
        keys.prove(person, code)
    assert raised.value.exit is Exit.REFUSED
    return str(raised.value)


def proves(keys: Keys, code: str, person: str = "anna") -> bool:
    try:
        keys.prove(person, code)
    except NotProved:
        return False
    return True


# who is enrolled


def test_what_a_device_is_given_names_the_person_and_makes_codes_that_prove_them(keys: Keys, anna: Device) -> None:
    assert anna.address.startswith("otpauth://totp/gonogo:anna?secret=")
    assert (anna.totp.name, anna.totp.issuer) == ("anna", "gonogo")
    assert proves(keys, anna.code())


def test_whoever_is_enrolled_is_listed_in_order(keys: Keys) -> None:
    assert keys.people() == []
    for person in ("ben", "anna", "carla"):
        keys.enroll(person)
    keys.remove("ben")
    assert keys.people() == ["anna", "carla"]


def test_looking_makes_no_file(keys: Keys) -> None:
    assert keys.people() == []
    assert not keys.signed("anna", {}, "")
    assert not keys.file.exists()


def test_a_key_is_not_replaced_unless_it_is_asked_for_and_then_the_old_one_proves_nothing_new(keys: Keys, anna: Device) -> None:
    with pytest.raises(Refused, match="anna is enrolled already; --again makes a new key"):
        keys.enroll("anna")
    assert proves(keys, anna.code())
    signature = keys.sign("anna", {"decision": "go"})
    new = Device(keys.enroll("anna", again=True), anna.time)
    assert new.address != anna.address
    assert not proves(keys, anna.code(1))
    assert keys.signed("anna", {"decision": "go"}, signature)
    assert proves(keys, new.code())


def test_a_key_that_was_removed_proves_nothing_new(keys: Keys, anna: Device) -> None:
    keys.enroll("ben")
    signature = keys.sign("anna", {})
    keys.remove("anna")
    assert "anna is not enrolled" in refusal(keys, anna.code())
    assert keys.signed("anna", {}, signature)
    with pytest.raises(Refused, match="anna is not enrolled; there are ben"):
        keys.remove("anna")


def test_every_person_has_a_key_of_their_own(keys: Keys, anna: Device) -> None:
    ben = Device(keys.enroll("ben"), anna.time)
    assert ben.totp.secret != anna.totp.secret
    assert not proves(keys, anna.code(), "ben")
    assert proves(keys, anna.code(), "anna")
    assert proves(keys, ben.code(), "ben")


def test_whoever_is_not_enrolled_is_told_how_to_be(keys: Keys, anna: Device) -> None:
    said = refusal(keys, anna.code(), "ben")
    assert said == "ben is not enrolled; on the machine that has the keys: gonogo people enroll ben"


# a code proves once


def test_a_code_works_once(keys: Keys, anna: Device) -> None:
    code = anna.code()
    keys.prove("anna", code)
    assert refusal(keys, code) == STALE
    anna.time.pass_(30)
    assert refusal(keys, code) == STALE


@pytest.mark.parametrize(
    ("later", "expected"),
    [(-31, False), (-30, True), (-1, True), (0, True), (29.9, True), (30, True), (59.9, True), (60, False), (90, False)],
)
def test_a_code_counts_in_its_own_thirty_seconds_and_the_thirty_before_and_after(
    keys: Keys, anna: Device, later: float, expected: bool
) -> None:
    code = anna.code()
    anna.time.pass_(later)
    assert proves(keys, code) is expected


@pytest.mark.parametrize("shown", [-1, 0, 1])
def test_after_a_code_neither_it_nor_an_older_one_counts_and_a_newer_one_does(keys: Keys, anna: Device, shown: int) -> None:
    codes = {step: anna.code(step) for step in range(-1, 3)}
    keys.prove("anna", codes[shown])
    for step in range(-1, shown + 1):
        assert refusal(keys, codes[step]) == STALE
    anna.time.pass_(30 if shown == 1 else 0)
    assert proves(keys, codes[shown + 1])


def test_codes_one_after_the_other_each_count(keys: Keys, anna: Device) -> None:
    for _ in range(50):
        assert proves(keys, anna.code())
        anna.time.pass_(30)


def test_a_code_that_two_neighbours_have_in_common_works_once(keys: Keys, anna: Device) -> None:
    # of this key, found by trying: 13:32:00 and 13:32:30 have the same code
    keys.file.write_text(keys.file.read_text().replace(anna.totp.secret, "JBSWY3DPEHPK3PXP" * 2))
    anna.time.now = datetime(2025, 12, 20, 13, 32, tzinfo=UTC)
    assert proves(keys, "533286")
    for _ in range(2):
        anna.time.pass_(30)
        assert refusal(keys, "533286") == STALE


@pytest.mark.parametrize("write", ["{} {}", " {}{} ", "{}\t{}\n", "{}\u00a0{}"])
def test_a_code_may_be_written_with_spaces(keys: Keys, anna: Device, write: str) -> None:
    code = anna.code()
    assert proves(keys, write.format(code[:3], code[3:]))
    assert refusal(keys, code) == STALE


def disguises() -> Iterator[tuple[str, Callable[[str], str]]]:
    yield "nothing", lambda _: ""
    yield "a digit less", lambda code: code[:-1]
    yield "a digit more", lambda code: f"{code}0"
    yield "a sign", lambda code: f"+{code}"
    yield "digits of another script", lambda code: "".join(chr(0x660 + int(digit)) for digit in code)
    yield "a hyphen", lambda code: f"{code[:3]}-{code[3:]}"
    yield "a NUL", lambda code: f"{code}\0"
    yield "words", lambda _: "None"


@pytest.mark.parametrize("disguise", [pytest.param(make, id=name) for name, make in disguises()])
def test_what_only_resembles_a_code_is_a_wrong_one(keys: Keys, anna: Device, disguise: Callable[[str], str]) -> None:
    assert refusal(keys, disguise(anna.code())) == WRONG
    assert proves(keys, anna.code())


def test_a_code_that_is_no_text_is_a_wrong_one(keys: Keys, anna: Device) -> None:
    assert refusal(keys, os.fsdecode(b"\xff")) == WRONG
    assert proves(keys, anna.code())


# wrong codes


def test_each_wrong_code_after_the_third_waits_twice_as_long_and_never_longer_than_a_quarter_of_an_hour(
    keys: Keys, anna: Device
) -> None:
    waits = [0, 0, 5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900]
    for wait in waits:
        assert refusal(keys, anna.wrong()) == WRONG
        if wait:
            anna.time.pass_(wait - 0.001)
            assert refusal(keys, anna.wrong()).startswith("too many wrong codes for anna; the next one counts in 1ms")
            anna.time.pass_(0.001)


def test_whoever_must_wait_is_told_how_long(keys: Keys, anna: Device) -> None:
    for wait in (0, 0, 5, 10, 20, 40, 80):
        assert refusal(keys, anna.wrong()) == WRONG
        anna.time.pass_(wait)
    assert refusal(keys, anna.wrong()) == WRONG
    assert refusal(keys, anna.wrong()) == "too many wrong codes for anna; the next one counts in 2m 40s"
    anna.time.pass_(100)
    assert refusal(keys, anna.wrong()) == "too many wrong codes for anna; the next one counts in 1m"


def test_a_right_code_during_the_wait_is_refused_and_not_used_up(keys: Keys, anna: Device) -> None:
    for _ in range(3):
        refusal(keys, anna.wrong())
    code = anna.code()
    assert refusal(keys, code).startswith("too many wrong codes")
    anna.time.pass_(5)
    assert proves(keys, code)
    assert refusal(keys, code) == STALE


def test_what_is_tried_during_the_wait_does_not_make_it_longer(keys: Keys, anna: Device) -> None:
    for _ in range(3):
        refusal(keys, anna.wrong())
    for _ in range(20):
        assert "too many" in refusal(keys, anna.wrong())
    anna.time.pass_(5)
    assert refusal(keys, anna.wrong()) == WRONG
    anna.time.pass_(10)
    assert proves(keys, anna.code())


def test_a_right_code_forgives_the_wrong_ones_before_it(keys: Keys, anna: Device) -> None:
    for _ in range(3):
        refusal(keys, anna.wrong())
    anna.time.pass_(30)
    assert proves(keys, anna.code())
    anna.time.pass_(30)
    for _ in range(3):
        assert refusal(keys, anna.wrong()) == WRONG
    assert "counts in 5s" in refusal(keys, anna.code())


def test_a_code_that_was_used_already_is_neither_a_wrong_one_nor_a_right_one(keys: Keys, anna: Device) -> None:
    code = anna.code()
    keys.prove("anna", code)
    for _ in range(10):
        assert refusal(keys, code) == STALE
    for _ in range(2):
        assert refusal(keys, anna.wrong()) == WRONG
    assert refusal(keys, code) == STALE
    assert refusal(keys, anna.wrong()) == WRONG
    assert "too many" in refusal(keys, anna.code(1)), "a stale code in between does not forgive"


def test_wrong_codes_of_one_person_do_not_slow_another(keys: Keys, anna: Device) -> None:
    ben = Device(keys.enroll("ben"), anna.time)
    for _ in range(9):
        refusal(keys, anna.wrong())
    assert proves(keys, ben.code(), "ben")


def test_wrong_codes_are_remembered_by_the_file_and_not_by_the_process(keys: Keys, anna: Device) -> None:
    for _ in range(3):
        refusal(Keys(file=keys.file), anna.wrong())
    assert "too many" in refusal(Keys(file=keys.file), anna.code())


# the file


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_the_keys_lie_in_files_that_only_this_account_may_read_whatever_the_umask(keys: Keys, time: Time, mask: int) -> None:
    before = os.umask(mask)
    try:
        anna = Device(keys.enroll("anna"), time)
        refusal(keys, anna.wrong())
        keys.prove("anna", anna.code())
    finally:
        os.umask(before)
    assert keys.file.is_file()
    assert modes(keys.file.parent) == {0o600}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o666, 0o601, 0o610])
def test_keys_that_others_may_read_are_refused_and_left_as_they_are(keys: Keys, anna: Device, mode: int) -> None:
    keys.file.chmod(mode)
    before = keys.file.read_text()
    attempts: list[Callable[[], object]] = [
        lambda: keys.prove("anna", anna.code()),
        lambda: keys.enroll("ben"),
        lambda: keys.remove("anna"),
        keys.people,
        lambda: keys.sign("anna", {}),
        lambda: keys.signed("anna", {}, ""),
    ]
    for attempt in attempts:
        with pytest.raises(Refused, match=rf"keys\.json can be read by others \(mode {mode:o}\): the keys may be known"):
            attempt()
    assert keys.file.read_text() == before
    keys.file.chmod(0o600)
    assert proves(keys, anna.code())


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_keys_that_only_this_account_may_read_are_taken(keys: Keys, anna: Device, mode: int) -> None:
    keys.file.chmod(mode)
    assert proves(keys, anna.code())


DAMAGED = {
    "nothing": b"",
    "half of it": b'{"anna": {"secret": "JBSW',
    "words": b"anna: JBSWY3DPEHPK3PXP",
    "a NUL": b"\0",
}
#: whole as JSON, or not even text: no promise is kept for these yet
OTHERWISE = {
    "a list": b"[]",
    "null": b"null",
    "a number": b"5",
    "a key without its parts": b'{"anna": {}}',
    "a key that is a list": b'{"anna": []}',
    "a secret that is none": b'{"anna": {"secret": "1", "last": 0, "wrong": 0, "wait_until": 0}}',
    "a secret that is a number": b'{"anna": {"secret": 5, "last": 0, "wrong": 0, "wait_until": 0}}',
    "a time that is text": b'{"anna": {"secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "last": 0, "wrong": 0, "wait_until": "x"}}',
    "not UTF-8": b"\xff\xfe",
    "a well of lists": b"[" * 100_000,
}


@pytest.mark.parametrize(
    "damage",
    [
        *[pytest.param(text, id=name) for name, text in DAMAGED.items()],
        *[pytest.param(text, id=name) for name, text in OTHERWISE.items()],
    ],
)
def test_a_damaged_file_is_bad_input_and_left_as_it_is(keys: Keys, anna: Device, damage: bytes) -> None:
    keys.file.write_bytes(damage)
    with pytest.raises(BadInput, match=r"keys\.json is damaged; fix it, or remove it and enroll everybody again"):
        keys.prove("anna", anna.code())
    assert keys.file.read_bytes() == damage


def test_what_a_crash_left_beside_the_file_does_no_harm(keys: Keys, anna: Device) -> None:
    left = keys.file.with_suffix(".new")
    left.write_text('{"anna": {"secr')
    left.chmod(0o600)
    assert proves(keys, anna.code())
    assert keys.people() == ["anna"]


def test_a_code_whose_use_cannot_be_written_down_proves_nothing_and_harms_nothing(
    keys: Keys, anna: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    before, code = keys.file.read_text(), anna.code()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(BadInput, match=r"keys\.json cannot be kept: No space left on device"):
            keys.prove("anna", code)
    assert keys.file.read_text() == before
    assert proves(keys, code)


def test_keys_of_another_account_are_not_read(keys: Keys, anna: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(name: str, *_: object) -> int:
        raise PermissionError(13, "Permission denied", name)

    code = anna.code()
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", forbidden)
        assert "are not yours to read; vote in the Prefect form, or as the account that has them" in refusal(keys, code)
    assert proves(keys, code)


def test_keys_that_lie_with_another_account_are_refused_also_by_root(
    keys: Keys, anna: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(Refused, match="belongs to another account"):
        keys.prove("anna", anna.code())


def test_a_file_that_only_begins_like_the_keys_is_left_alone_and_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "uv.lock").write_text("mine", encoding="utf-8")
    (tmp_path / "uv.new").write_text("mine", encoding="utf-8")
    Keys(file=tmp_path / "uv.keys").enroll("anna")
    assert {(tmp_path / name).read_text(encoding="utf-8") for name in ("uv.lock", "uv.new")} == {"mine"}
    for name in ("linked.lock", "linked.new"):
        (tmp_path / name).symlink_to(tmp_path / "uv.lock")
        with pytest.raises(BadInput, match="cannot be kept"):
            Keys(file=tmp_path / "linked").enroll("anna")
        (tmp_path / name).unlink()
    assert (tmp_path / "uv.lock").read_text(encoding="utf-8") == "mine"


def test_a_place_that_cannot_hold_the_keys_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be kept"):
        Keys(file=tmp_path / "file" / "keys.json").enroll("anna")
    (tmp_path / "folder.json").mkdir(mode=0o700)
    with pytest.raises(BadInput, match="cannot be kept: Is a directory"):
        Keys(file=tmp_path / "folder.json").enroll("anna")


# signatures


VOTE = {"on": "one", "decision": "go", "person": "anna", "seal": "5e41", "comment": "überlegt", "proved": True, "run": "r-1"}


def test_a_signature_is_the_persons_under_just_this(keys: Keys, anna: Device) -> None:
    keys.enroll("ben")
    signature = keys.sign("anna", VOTE)
    assert keys.signed("anna", VOTE, signature)
    assert keys.signed("anna", dict(reversed(VOTE.items())), signature), "a ledger keeps no order"
    assert not keys.signed("ben", VOTE, signature)
    assert not keys.signed("carla", VOTE, signature)
    assert anna.totp.secret not in signature


@pytest.mark.parametrize("name", VOTE)
def test_a_signature_stands_for_every_part_of_what_was_said(keys: Keys, anna: Device, name: str) -> None:
    signature = keys.sign("anna", VOTE)
    assert keys.people() == [anna.totp.name]
    assert not keys.signed("anna", {**VOTE, name: "x"}, signature)
    assert not keys.signed("anna", {key: value for key, value in VOTE.items() if key != name}, signature)
    assert not keys.signed("anna", {**VOTE, "more": None}, signature)


@pytest.mark.parametrize("forged", ["", "0" * 64, "None", "x"])
def test_what_is_no_signature_signs_nothing(keys: Keys, anna: Device, forged: str) -> None:
    assert not keys.signed("anna", VOTE, forged)
    right = keys.sign("anna", VOTE)
    for near in (right[:-1], right + "0", right.upper(), f" {right}"):
        assert not keys.signed("anna", VOTE, near)
    assert keys.signed(anna.totp.name, VOTE, right)


def test_a_signature_that_is_not_ascii_signs_nothing(keys: Keys, anna: Device) -> None:
    assert anna.address
    assert not keys.signed("anna", VOTE, "é")


bodies = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
said = st.dictionaries(st.text(max_size=5), bodies, max_size=4)


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    made = Keys(file=tmp_path_factory.mktemp("keys") / "keys.json")
    made.enroll("anna")
    return made


@given(body=said, other=said)
def test_what_was_signed_is_signed_when_it_comes_back_from_the_ledger_and_nothing_else_is(
    signers: Keys, body: dict[str, object], other: dict[str, object]
) -> None:
    signature = signers.sign("anna", body)
    assert signers.signed("anna", json.loads(json.dumps(body)), signature)
    assert signers.signed("anna", other, signature) == (json.dumps(other, sort_keys=True) == json.dumps(body, sort_keys=True))


# several at one time


def test_of_many_threads_that_prove_with_one_code_exactly_one_does(keys: Keys, anna: Device) -> None:
    code, ready, won, told = anna.code(), threading.Barrier(12), [], []

    def attempt(number: int) -> None:
        ready.wait()
        try:
            keys.prove("anna", code)
            won.append(number)
        except NotProved as error:
            told.append(str(error))

    threads = [threading.Thread(target=attempt, args=[number]) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert told == [STALE] * 11


ATTEMPT = """
import sys
from pathlib import Path
from gonogo.keys import Keys, NotProved
keys = Keys(file=Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
try:
    keys.prove("anna", sys.argv[2])
    print("proved")
except NotProved as error:
    print(error)
"""


def test_of_many_processes_that_prove_with_one_code_exactly_one_does(keys: Keys) -> None:
    device = pyotp.parse_uri(keys.enroll("anna"))
    assert isinstance(device, pyotp.TOTP)
    code = device.at(clock.now() + timedelta(seconds=30))
    command = [sys.executable, "-c", ATTEMPT, str(keys.file), code]
    running = [subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(5)]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    told = [process.communicate(timeout=180)[0].strip() for process in running]
    assert sorted(told) == sorted(["proved", *[STALE] * 4])


def test_of_many_wrong_codes_at_one_time_each_counts(keys: Keys, anna: Device) -> None:
    wrong, told, ready = anna.wrong(), [], threading.Barrier(8)

    def attempt() -> None:
        ready.wait()
        told.append(refusal(keys, wrong))

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == sorted([WRONG] * 3 + ["too many wrong codes for anna; the next one counts in 5s"] * 5)


def test_many_people_enrolled_at_one_time_are_all_there(keys: Keys) -> None:
    names = [f"p{number}" for number in range(10)]
    threads = [threading.Thread(target=keys.enroll, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert keys.people() == sorted(names)


# the secret


def test_no_error_says_the_secret(keys: Keys, anna: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, code = anna.totp.secret, anna.code()
    told: list[str] = []

    def fails(attempt: Callable[[], object]) -> None:
        with pytest.raises(GonogoError) as raised:
            attempt()
        told.append(f"{raised.value} {raised.value!r} {''.join(traceback.format_exception(raised.value))}")

    fails(lambda: keys.enroll("anna"))
    fails(lambda: keys.remove("ben"))
    fails(lambda: keys.prove("ben", code))
    fails(lambda: keys.prove("anna", anna.wrong()))
    keys.prove("anna", code)
    fails(lambda: keys.prove("anna", code))
    for _ in range(4):
        fails(lambda: keys.prove("anna", anna.wrong()))
    keys.file.chmod(0o644)
    fails(lambda: keys.prove("anna", code))
    keys.file.chmod(0o600)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        fails(lambda: keys.enroll("ben"))
    whole = keys.file.read_text()
    keys.file.write_text(whole[:-2])
    fails(lambda: keys.prove("anna", code))
    assert len(told) == 12
    assert secret in whole
    assert not [text for text in told if secret in text]
    assert secret not in repr(keys)
