"""How much slower the busiest statements have become, by pg_stat_statements: `statements: 10`, `expect: "<= 1.2"`.

The baseline keeps the calls and the time of each; what came since is compared with what was before. The number is the
worst of the ratios, and rests on the calls since.
"""

from __future__ import annotations

from checks.asking import FEW, busiest
from checks.kind import Question
from gonogo.core.engine.verdict import Measurement
from gonogo.postgres.connection import Connection

_BUSIEST = """
SELECT queryid::text || '/' || userid::text || '/' || toplevel::text, calls, total_exec_time,
  coalesce(pg_catalog.left(pg_catalog.regexp_replace(query, '\\s+', ' ', 'g'), 60), 'the statement ' || queryid::text)
FROM {view}
WHERE dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) AND queryid IS NOT NULL
ORDER BY total_exec_time DESC LIMIT %s
"""
#: fewer calls than this, before or since, say nothing
LEAST = 5


def measure(question: Question, connection: Connection) -> Measurement:
    """Compare each of the busiest statements of the baseline with what came since."""
    before = {key: said.split(" ") for key, said in question.baseline.facts.items()} if question.baseline else {}
    # what was busy before is looked for among more than were busy then
    rows = busiest(question, connection, _BUSIEST, int(question.check.statements or 1) * 20, needs_texts=False)
    now = {str(key): (int(calls), float(total), str(text)) for key, calls, total, text in rows}
    if not before:
        kept = dict(list(now.items())[: question.check.statements])
        facts = {key: f"{calls} {total}" for key, (calls, total, _) in kept.items()}
        return Measurement(check=question.name, numbers={"value": "1"}, facts=facts, count=len(facts))
    ratios: dict[str, tuple[float, str]] = {}
    since = 0
    for key, (calls_then, total_then) in before.items():
        if key not in now or int(calls_then) < LEAST:
            continue
        calls, total, text = now[key][0] - int(calls_then), now[key][1] - float(total_then), now[key][2]
        if calls >= LEAST:
            since += calls
            ratios[key] = (total / calls) / max(float(total_then) / int(calls_then), 1e-6), text
    if not ratios:
        return Measurement(check=question.name, missing="none of the busiest statements was called again", count=since)
    worst = sorted(ratios.values(), reverse=True)
    notes = tuple(f"{ratio:.2f} times: {text}" for ratio, text in worst[:FEW])
    return Measurement(
        check=question.name, numbers={"value": f"{worst[0][0]:.4f}", "calls": str(since)}, count=since, notes=notes
    )
