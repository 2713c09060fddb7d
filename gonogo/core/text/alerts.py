"""Alerts outside of a run: raised once when a rule trips, cleared once when it is well again, told to whom they concern. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from gonogo.core.engine.events import Acknowledged, AlertCleared, AlertRaised, Event, Kind, Sampled
from gonogo.core.engine.verdict import Judgement, Verdict, trips
from gonogo.core.model.alerts import Alert
from gonogo.core.plan.plan import Plan
from gonogo.core.text.escalation import due_of_alert
from gonogo.core.text.messages import Update, called_at_once, contacts

BREACH, BLANK, WELL = "breach", "blank", "well"


@dataclass(kw_only=True)
class Standing:
    """Where one alert stands."""

    looks: list[str] = field(default_factory=list)
    #: the event that raised it, while it is raised
    raised: int | None = None
    at: datetime | None = None
    why: str = ""
    acknowledged: str = ""


def fold_alerts(events: Iterable[Event]) -> dict[str, Standing]:
    """Return where each alert stands after these events."""
    found: dict[str, Standing] = {}
    for event in events:
        match event.body:
            case Sampled(samples=samples):
                for name, sample in samples.items():
                    found.setdefault(name, Standing()).looks.append(sample.look)
            case AlertCleared(alert=name):
                stands = found.setdefault(name, Standing())
                stands.raised, stands.at, stands.acknowledged = None, None, ""
            case AlertRaised(alert=name, why=why):
                stands = found.setdefault(name, Standing())
                stands.raised, stands.at, stands.why, stands.acknowledged = event.seq, event.at, why, ""
            case Acknowledged(alert=name):
                found.setdefault(name, Standing()).acknowledged = event.actor
    return found


def look_of(judged: Judgement) -> str:
    """Return what a look at a rule showed."""
    if judged.verdict in (Verdict.INCONCLUSIVE, Verdict.ERROR):
        return BLANK
    return BREACH if judged.verdict is Verdict.PASS else WELL


def change_of(alert: Alert, target: str, stands: Standing, judged: Judgement) -> AlertRaised | AlertCleared | None:
    """Return the event that the newest look leads to, if any: it is raised once, and cleared when it was well for as long.

    Args:
        alert: the rule.
        target: where it was looked at.
        stands: where it stands, the newest look included.
        judged: what the newest look showed.
    """
    rule = alert.threshold
    if stands.raised is None:
        if trips(rule, [look == BREACH for look in stands.looks]):
            return AlertRaised(alert=alert.alert, target=target, why=judged.sentence)
        if trips(rule, [look == BLANK for look in stands.looks]):
            return AlertRaised(alert=alert.alert, target=target, why=f"there is no data: {judged.sentence}")
        return None
    newest = stands.looks[-rule.n :]
    well = len(newest) >= rule.n and all(look == WELL for look in newest)
    return AlertCleared(alert=alert.alert, target=target, why=judged.sentence) if well else None


def updates_of(plan: Plan, alerts: Mapping[str, Standing], events: Iterable[Event], now: datetime) -> list[tuple[str, Update]]:
    """Return what people are told of alerts, each with its channel: raised, cleared, acknowledged, escalated.

    Args:
        plan: the plan.
        alerts: where each stands now.
        events: the events so far.
        now: the time.
    """
    rules = {alert.alert: alert for alert in plan.monitor.alerts} if plan.monitor else {}
    notes: list[tuple[str, Update]] = []
    for event in events:
        name, text = _text_of(event)
        if (rule := rules.get(name)) and text:
            loud = event.kind is Kind.ALERT
            if loud and plan.updates.escalate:
                text += f"\nTo acknowledge it: `gonogo ack {plan.runbook} {name} --target {plan.target} --as PERSON`."
            called = dict.fromkeys((*rule.to, *called_at_once(plan), *contacts(plan, [rule.check]))) if loud else ()
            over = event.kind is Kind.CLEARED
            told = Update(key=str(event.seq), text=text, loud=loud, mention=tuple(called), about=name, over=over)
            notes.append((rule.channel, told))
    for name, stands in alerts.items():
        rule = rules.get(name)
        if rule and stands.raised is not None and stands.at is not None and not stands.acknowledged:
            levels = due_of_alert(plan, name, stands.raised, stands.at, stands.why, now)
            notes += [(rule.channel, replace(update, about=name)) for update in levels]
    return notes


def _text_of(event: Event) -> tuple[str, str]:
    """Return the alert that an event is about, and what is told of it."""
    match event.body:
        case AlertCleared(alert=name, target=target, why=why):
            return name, f"✅ *{name}* on {target} is back to normal: {why}"
        case AlertRaised(alert=name, target=target, why=why):
            return name, f"🔔 *{name}* on {target}: {why}"
        case Acknowledged(alert=name):
            return name, f"🙋 {event.actor} acknowledged *{name}*"
        case _:
            return "", ""
