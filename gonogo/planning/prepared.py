"""A plan, ready to be opened as a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gonogo.core.plan.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A plan and the texts that its scripts' sha256 name."""

    plan: Plan
    texts: Mapping[str, str]
    warnings: tuple[str, ...] = ()
