"""The line drawn beforehand: `p95 <= baseline + 10%`, `> 10% in 2 of 3`, `unchanged`.

Comparisons are exact and strict as written: decimals, never floats, so that 165 ms meets
`<= baseline + 10%` of 150 ms, and 165.1 ms does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

#: what is made of the times of calls
TIMES = ("mean", "min", "max", "p50", "p90", "p95", "p99")
METRICS = ("value", *TIMES, "status", "errors", "latency", "failed", "calls", "exit", "seconds")
_COMPARE = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_UNIT = {"": Decimal(1), "%": Decimal("0.01"), "ms": Decimal(1), "s": Decimal(1000)}
_NUMBER = r"(?P<{0}>[+-]?\d+(?:\.\d+)?)\s*(?P<{0}_unit>%|ms|s)?"
_LINE = re.compile(
    r"(?:(?P<metric>[a-z]+\d*)\s+)?(?P<op><=|>=|!=|=|<|>)\s*"
    r"(?:(?P<baseline>baseline)(?:\s*(?P<sign>[+-])\s*" + _NUMBER.format("delta") + r")?|" + _NUMBER.format("bound") + r")"
    r"(?:\s+in\s+(?P<k>\d+)\s+of\s+(?P<n>\d+))?",
    re.ASCII,
)


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A comparison with a number or with the baseline, and how often it must be met to count."""

    text: str
    metric: str
    op: str
    bound: Decimal | None = None
    delta: Decimal = Decimal(0)
    relative: bool = False
    k: int = 1
    n: int = 1
    unchanged: bool = False

    @property
    def needs_baseline(self) -> bool:
        """Whether it compares with a measurement taken before the first change."""
        return self.bound is None

    def line(self, baseline: Decimal | None) -> Decimal | None:
        """Return the number to compare with, or None without a usable baseline."""
        if self.bound is not None:
            return self.bound
        if baseline is None or (self.relative and baseline == 0):
            return None
        return baseline * (1 + self.delta) if self.relative else baseline + self.delta

    def holds(self, value: Decimal, line: Decimal) -> bool:
        """Say whether the value stands on the threshold's side of the line."""
        return bool(_COMPARE[self.op](value, line))


def parse_threshold(text: object) -> Threshold:
    """Read one threshold.

    Raises:
        ValueError: it cannot be read; the message shows the forms there are.
    """
    line = str(text).strip() if isinstance(text, (str, int, float)) else ""
    if line == "unchanged":
        return Threshold(text=line, metric="value", op="=", unchanged=True)
    found = _LINE.fullmatch(line)
    if not found:
        raise ValueError(
            f'{text!r} is not a threshold: write a comparison such as "= 0", "> 10%", "p95 <= 200 ms", '
            '"p95 > baseline + 50% in 3 of 5", or "unchanged"'
        )
    part = found.groupdict()
    metric = part["metric"] or "value"
    if metric not in METRICS:
        raise ValueError(f"{text!r} names the metric {metric!r}; there are {', '.join(METRICS)}")
    k, n = int(part["k"] or 1), int(part["n"] or 1)
    if not 1 <= k <= n <= 1000:
        raise ValueError(f"{text!r} asks for {k} of {n}: the first number is at least 1 and at most the second")
    if part["baseline"]:
        size = Decimal(part["delta"] or 0) * _UNIT[part["delta_unit"] or ""]
        size = -size if part["sign"] == "-" else size
        relative = part["delta_unit"] == "%"
        return Threshold(text=line, metric=metric, op=part["op"], delta=size, relative=relative, k=k, n=n)
    bound = Decimal(part["bound"]) * _UNIT[part["bound_unit"] or ""]
    return Threshold(text=line, metric=metric, op=part["op"], bound=bound, k=k, n=n)
