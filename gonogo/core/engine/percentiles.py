"""Whether something has become slower, or only looks so: percentiles with their confidence, and the machine's own pace.

A latency is never one number. Of some calls, the bounds of a percentile are themselves two of the calls that were seen,
whatever their distribution: with how many of n calls below it a percentile is met is binomial (Conover, Practical
Nonparametric Statistics, 3.2). Beside the calls of a check stand calls of a fixed piece of work, the yardstick: where the
machine itself has become slower or faster, the line moves by as much.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

#: how sure each of two bounds must be: where both are crossed, the difference of the two is sure to about 99 %
CONFIDENCE = 0.95
#: a machine whose pace has changed by more than this, either way, says nothing about what runs on it
TOO_FAR = 3.0
#: fewer calls than this have their binomial distribution summed up; more are taken as normal
_FEW = 2000
_PERCENT = {"value": 95, "p50": 50, "p90": 90, "p95": 95, "p99": 99}


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Between what a percentile surely lies; a bound is missing where there are too few calls to have one."""

    low: float | None
    high: float | None


def bounds(samples: Sequence[float], percent: int, confidence: float = CONFIDENCE) -> Bounds:
    """Return the one-sided bounds of a percentile, each held with the confidence that is asked for.

    Args:
        samples: what was seen, in any order and unit.
        percent: which percentile.
        confidence: the probability with which each bound holds.
    """
    ordered, n, share = sorted(samples), len(samples), percent / 100
    if n == 0:
        return Bounds(low=None, high=None)
    # of n calls, so many are at or below the percentile
    below = _quantile(n, share, 1 - confidence)
    above = _quantile(n, share, confidence) + 1
    return Bounds(low=ordered[below - 1] if below >= 1 else None, high=ordered[above - 1] if above <= n else None)


def _quantile(n: int, share: float, probability: float) -> int:
    """Return the least k such that a binomial count is at most k with this probability, less one for a small one."""
    if n > _FEW:
        spread = math.sqrt(n * share * (1 - share))
        return math.floor(n * share + NormalDist().inv_cdf(probability) * spread)
    total = 0.0
    for k in range(n + 1):
        log_choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        total += math.exp(log_choose + k * math.log(share) + (n - k) * math.log(1 - share))
        if total >= probability:
            return k
    return n


def percentile_of(metric: str) -> int | None:
    """Return which percentile a metric is; None where it is none."""
    return _PERCENT.get(metric)


def pace(now: float | None, before: float | None) -> float:
    """Return how many times as long as before the machine takes for the same work, by the yardstick; 1 where nobody knows."""
    return now / before if now and before else 1.0


def summarise(samples: list[float]) -> dict[str, str]:
    """Return the metrics of some latencies, in milliseconds."""
    ordered = sorted(samples)
    numbers = {"mean": statistics.fmean(ordered), "min": ordered[0], "max": ordered[-1]}
    for percent in (50, 90, 95, 99):
        # the nearest rank: a value that was seen, never one made up between two
        numbers[f"p{percent}"] = ordered[max(0, -(-percent * len(ordered) // 100) - 1)]
    numbers["value"] = numbers["p95"]
    return {name: f"{value:.3f}" for name, value in numbers.items()}
