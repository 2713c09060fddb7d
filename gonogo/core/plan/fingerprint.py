"""What a database is made of, object by object, as it was at a moment; and what differs between two moments. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

#: the form in which objects are written; what was written in an older one is compared in that one
FORM = 2
_FIRST = 1
#: how the digest over the rows of a catalog that every server has is called
BUILT_IN = "what PostgreSQL itself has in "
#: what nobody is shown, whoever asks
ALWAYS_UNSEEN = ("passwords of roles",)
#: how much of a text a difference shows
_LONG = 160


class Fingerprint(BaseModel):
    """Every object of a database, with all that the server records of it."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    form: int = FORM
    #: by the object's name, such as `table public.orders`: a line for each thing that is recorded of it
    objects: Mapping[str, str] = {}
    #: the same of what all databases of the server share, such as roles
    shared: Mapping[str, str] = {}
    #: the sequences whose next value meets a row that is there, where they were looked at
    behind: tuple[str, ...] = ()
    #: what the role could not read
    unseen: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _read_first_form(cls, data: Any) -> Any:
        """Read what was written before the form had a number: the objects alone."""
        if isinstance(data, Mapping) and data and all(isinstance(value, str) for value in data.values()):
            return {"form": _FIRST, "objects": data}
        return data

    @property
    def count(self) -> int:
        """How many objects somebody made, or may have changed."""
        return sum(not name.startswith(BUILT_IN) for name in self.objects)

    def written(self) -> str:
        """Return what the digest that people's answers stand for is made of: what is the database's own."""
        objects = [f"{name}={self.objects[name]}" for name in sorted(self.objects)]
        return "\0".join(objects if self.form == _FIRST else [f"form {self.form}", *objects])


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Say what differs between the objects of two fingerprints, an object a line."""
    notes = [f"{name} is missing" for name in sorted(before.keys() - after.keys())]
    notes += [f"{name} is new" for name in sorted(after.keys() - before.keys())]
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            was, now = _changed(before[name], after[name])
            notes.append(f"{name} was {was} and is {now}")
    return notes


def _changed(before: str, after: str) -> tuple[str, str]:
    """Return what two texts of an object say differently."""
    was, now = _said(before), _said(after)
    left, new = [line for line in was if line not in now], [line for line in now if line not in was]
    if not left and not new:
        return "in one order", f"in another: {_one_line('; '.join(now))}"
    before_, after_ = _one_line("; ".join(left) or "without that"), _one_line("; ".join(new) or "without that")
    return (before_, after_) if before_ != after_ else (before_, f"{after_}, but for its spaces or its end")


def _said(text: str) -> list[str]:
    """Return the things that a text says, each with the lines that continue it."""
    return text.replace("\n\t", " ").split("\n")


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONG else line[: _LONG - 3] + "..."
