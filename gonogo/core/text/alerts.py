"""Alerts outside of a run: raised once when a rule trips, cleared once when it is well again, told to whom they concern. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from gonogo.core.engine.events import Event, Kind
from gonogo.core.engine.verdict import Judgement, Verdict, trips
from gonogo.core.model.alerts import Alert
from gonogo.core.plan.plan import Plan
from gonogo.core.text.escalation import due_of_alert
from gonogo.core.text.messages import Update, contacts

BREACH, BLANK, WELL = "breach", "blank", "well"


@dataclass(kw_only=True)
class Standing:
    """Where one alert stands."""

    looks: list[str] = field(default_factory=list)
    #: the fact that raised it, while it is raised
    raised: int | None = None
    at: datetime | None = None
    why: str = ""
    acknowledged: str = ""


def fold_alerts(events: Iterable[Event]) -> dict[str, Standing]:
    """Return where each alert stands after these facts."""
    found: dict[str, Standing] = {}
    for event in events:
        body = event.body
        if event.kind is Kind.SAMPLE:
            for name, sample in body["samples"].items():
                stands = found.setdefault(name, Standing())
                stands.looks.append(str(sample["look"]))
            continue
        stands = found.setdefault(str(body.get("alert")), Standing())
        if event.kind is Kind.ALERT:
            stands.raised, stands.at, stands.why, stands.acknowledged = event.seq, event.at, str(body.get("why")), ""
        elif event.kind is Kind.CLEARED:
            stands.raised, stands.at, stands.acknowledged = None, None, ""
        elif event.kind is Kind.ACKNOWLEDGED:
            stands.acknowledged = event.actor
    return found


def look_of(judged: Judgement) -> str:
    """Return what a look at a rule showed."""
    if judged.verdict in (Verdict.INCONCLUSIVE, Verdict.ERROR):
        return BLANK
    return BREACH if judged.verdict is Verdict.PASS else WELL


def changes_of(alert: Alert, stands: Standing, judged: Judgement) -> tuple[Kind, str] | None:
    """Return the fact that the newest look leads to, if any: it is raised once, and cleared when it was well for as long.

    Args:
        alert: the rule.
        stands: where it stands, the newest look included.
        judged: what the newest look showed.
    """
    rule = alert.threshold
    if stands.raised is None:
        if trips(rule, [look == BREACH for look in stands.looks]):
            return Kind.ALERT, judged.sentence
        if trips(rule, [look == BLANK for look in stands.looks]):
            return Kind.ALERT, f"there is no data: {judged.sentence}"
        return None
    newest = stands.looks[-rule.n :]
    return (Kind.CLEARED, judged.sentence) if len(newest) >= rule.n and all(look == WELL for look in newest) else None


def updates_of(plan: Plan, alerts: Mapping[str, Standing], events: Iterable[Event], now: datetime) -> list[tuple[str, Update]]:
    """Return what people are told of alerts, each with its channel: raised, cleared, acknowledged, escalated.

    Args:
        plan: the plan.
        alerts: where each stands now.
        events: the facts so far.
        now: the time.
    """
    rules = {alert.alert: alert for alert in plan.monitor.alerts} if plan.monitor else {}
    told: list[tuple[str, Update]] = []
    for event in events:
        rule = rules.get(str(event.body.get("alert")))
        text = _TELL[event.kind].format(**_words(event)) if rule and event.kind in _TELL else ""
        if rule and text:
            loud = event.kind is Kind.ALERT
            mention = (*rule.to, *contacts(plan, [rule.check])) if loud else ()
            told.append((rule.channel, Update(key=str(event.seq), text=text, loud=loud, mention=tuple(dict.fromkeys(mention)))))
    for name, stands in alerts.items():
        rule = rules.get(name)
        if rule and stands.raised is not None and stands.at is not None and not stands.acknowledged:
            levels = due_of_alert(plan, name, stands.raised, stands.at, stands.why, now)
            told += [(rule.channel, update) for update in levels]
    return told


_TELL: Mapping[Kind, str] = {
    Kind.ALERT: "🔔 *{alert}* on {target}: {why}",
    Kind.CLEARED: "✅ *{alert}* on {target} is well again: {why}",
    Kind.ACKNOWLEDGED: "🙋 {actor} takes *{alert}*",
}


def _words(event: Event) -> dict[str, str]:
    body = event.body
    return {
        "alert": str(body.get("alert")),
        "target": str(body.get("target", "")),
        "why": str(body.get("why", "")),
        "actor": event.actor,
    }
