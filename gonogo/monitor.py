"""Looking after a target outside of its runs: alerts by their rules, and alarms of runs that nobody has acknowledged.

One look asks every rule once and records it in a chain of its own, so that a rule such as `2 of 3` counts over looks of
different processes, and nothing is told twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from checks.kind import CheckEnvironment
from checks.measure import measure
from gonogo.core.engine.events import Acknowledged, Sampled, SampledCheck
from gonogo.core.engine.verdict import Judgement, judge
from gonogo.core.plan.plan import Plan
from gonogo.core.text.alerts import BREACH, Standing, change_of, fold_alerts, look_of, updates_of
from gonogo.core.text.escalation import due
from gonogo.core.text.messages import Update
from gonogo.core.text.plain import tidy
from gonogo.errors import BadInput, Refused
from gonogo.ledger import chains, deliveries, store
from gonogo.notify.channel import NotDelivered, delivery_key, open_channel, ready, say_undelivered
from gonogo.notify.sender import Sender
from gonogo.planning.open import OpenedRunbook
from gonogo.planning.prepared import Prepared
from gonogo.postgres import only_one
from gonogo.postgres.connection import Connection, Database
from gonogo.postgres.server_clock import server_time
from gonogo.run import runs, signatures, targets, votes
from gonogo.run.votes import Caller

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one look showed."""

    judged: dict[str, Judgement]
    alerts: dict[str, Standing]
    #: what could not be told
    undelivered: list[str]

    @property
    def raised(self) -> list[str]:
        """The alerts that are raised now."""
        return [name for name, stands in self.alerts.items() if stands.raised is not None]


def look(opened: OpenedRunbook, prepared: Prepared, database: Database, say: Say) -> Look:
    """Ask every rule of a runbook once, record it, and tell people what changed or has waited too long.

    Args:
        opened: the runbook and its project.
        prepared: its plan on the target.
        database: the target.
        say: where it is told what people are told, where Slack is not.

    Raises:
        BadInput: the runbook has nothing to look at.
    """
    rules = opened.runbook.alerts
    if not (rules or opened.runbook.updates.escalate):
        raise BadInput("the runbook has neither `monitor:` nor `updates.escalate:`, so there is nothing to look at")
    plan = prepared.plan
    environment = CheckEnvironment(texts=prepared.texts, root=opened.project.files, database=database)
    with targets.connect_recovering(database, "gonogo/monitor") as connection:
        store.create(connection)
        # two would tell everything twice
        chain = chains.of_monitor(plan.runbook)
        if not only_one.is_this(connection, f"gonogo looks: {chain}", str(connection.info.dbname)):
            raise Refused("another process looks at this target now")
        chains.open_chain(connection, chain, plan.target)
        judged = {}
        for alert in rules:
            measured = measure(plan, alert.check, environment, connection)
            found = judge(alert.threshold, measured, None, at_least=plan.checks[alert.check].least)
            named = f": {'; '.join(measured.notes[:3])}" if measured.notes and look_of(found) == BREACH else ""
            judged[alert.alert] = found.model_copy(update={"sentence": found.sentence + named})
        # a look that sees what a run waits for may come before there is any rule
        samples = {name: SampledCheck(look=look_of(found), says=found.sentence) for name, found in judged.items()}
        store.append(connection, chain, Sampled(samples=samples), "monitor")
        _raise_and_clear(connection, chain, plan, judged)
        events = chains.read_looks(connection, chain)
        alerts = fold_alerts(events)
        undelivered = _tell(connection, chain, plan, updates_of(plan, alerts, events, server_time(connection)), say)
        undelivered += _alarms(connection, database, plan, say)
    return Look(judged=judged, alerts=alerts, undelivered=undelivered)


def _raise_and_clear(connection: Connection, chain: str, plan: Plan, judged: dict[str, Judgement]) -> None:
    alerts = fold_alerts(chains.read_looks(connection, chain))
    for alert in plan.monitor.alerts if plan.monitor else ():
        if change := change_of(alert, plan.target, alerts[alert.alert], judged[alert.alert]):
            store.append(connection, chain, change, "monitor")


def _tell(connection: Connection, chain: str, plan: Plan, notes: list[tuple[str, Update]], say: Say) -> list[str]:
    """Tell what was not told yet, in each channel there is; return what could not be."""
    channels = ready(plan.updates)
    if not channels:
        return _say(connection, chain, [update for _, update in notes], say)
    return [lost for kind, where in channels for lost in _post(connection, chain, plan, notes, kind, where)]


def _say(connection: Connection, chain: str, notes: list[Update], say: Say) -> list[str]:
    """Tell it where gonogo runs, as there is no channel; nothing is left undelivered."""
    known = {key for key, _, _ in deliveries.read(connection, chain)}
    for update in notes:
        if update.key not in known:
            say(update.text)
            deliveries.note(connection, chain, 0, update.key, "terminal", None, None)
    return []


def _post(connection: Connection, chain: str, plan: Plan, notes: list[tuple[str, Update]], kind: str, where: str) -> list[str]:
    known = {key for key, _, _ in deliveries.read(connection, chain)}
    channel, lost = open_channel(kind), []
    for of_alert, update in notes:
        key = delivery_key(kind, update.key)
        # an alert names a channel of Slack
        place = of_alert if of_alert and kind == "slack" else where
        if key in known:
            continue
        try:
            sent = channel.send(place, update, plan.people, None)
        except NotDelivered as failure:
            lost.append(say_undelivered(update, str(failure)))
            # what may be there all the same is not told again, unless it needs people
            if failure.doubtful and not update.loud:
                deliveries.note(connection, chain, 0, key, place, None, None)
            if failure.hopeless and not failure.of_channel:
                break
        else:
            deliveries.note(connection, chain, 0, key, sent.channel, sent.ts, None)
    return lost


def _alarms(connection: Connection, database: Database, plan: Plan, say: Say) -> list[str]:
    """Tell whom the newest run waits for, where no process works on it and so nobody else would."""
    try:
        found = runs.find(connection, runbook=plan.runbook)
    except Refused:
        return []
    if found.state.alarm is None or found.running:
        return []
    if channels := ready(found.plan.updates):
        senders = [Sender(database, found.plan, found.run, say, kind) for kind, _ in channels]
        return [lost for sender in senders for lost in sender.tell_once()]
    return _say(connection, found.run, due(found.plan, found.state, server_time(connection)), say)


def acknowledge(
    connection: Connection,
    opened: OpenedRunbook,
    plan: Plan,
    caller: Caller,
    alert: str,
    comment: str,
    found: runs.FoundRun | None,
) -> str:
    """Say that somebody takes an alert, or what a run needs people for; return what it was.

    Raises:
        BadInput: there is no such person, or no such alert.
        Refused: nothing waits to be taken, or they did not prove who they are.
    """
    if plan.people and caller.person not in plan.people:
        raise BadInput(f"{caller.person!r} is not one of the runbook's people; there are {', '.join(plan.people)}")
    proved = votes.prove(plan, signatures.keys_of(opened.project), caller)
    said = Acknowledged(person=caller.person, proved=proved, comment=tidy(comment))
    if not alert:
        if found is None or found.state.alarm is None:
            raise Refused("no run of this runbook needs anybody now")
        store.append(connection, found.run, said, caller.person)
        return found.state.alarm.why
    chain = chains.of_monitor(plan.runbook)
    alerts = fold_alerts(chains.read_looks(connection, chain)) if store.exists(connection) else {}
    if alert not in alerts:
        raise BadInput(f"there is no alert {alert!r}; there are {', '.join(alerts) or 'none'}")
    if alerts[alert].raised is None:
        raise Refused(f"the alert {alert} is not raised now")
    store.append(connection, chain, said.replace(alert=alert, target=plan.target), caller.person)
    return alerts[alert].why
