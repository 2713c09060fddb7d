"""How many transactions a second pgbench makes: `throughput: {script: checks/mix.sql, clients: 4, lasts: 10s}`."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from checks.kind import Question
from gonogo import private_files
from gonogo.core.engine.verdict import Measurement
from gonogo.errors import StepError
from gonogo.postgres.connection import Connection
from gonogo.postgres.tools import answer_of

_FOUND = {
    "value": re.compile(r"^tps = ([\d.]+)", re.MULTILINE),
    "latency": re.compile(r"^latency average = ([\d.]+) ms", re.MULTILINE),
    "failed": re.compile(r"^number of failed transactions: (\d+)", re.MULTILINE),
}
_DONE = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)


def measure(question: Question, connection: Connection) -> Measurement:  # noqa: ARG001 - pgbench has its own
    """Let pgbench run the script; it writes what the script writes."""
    asked = question.check.throughput
    if asked is None or question.database is None:
        raise StepError("pgbench needs a database to reach")
    lasts = max(1, round(asked.lasts.total_seconds()))
    with tempfile.TemporaryDirectory(prefix="gonogo-") as folder:
        script = Path(folder) / "script.sql"
        private_files.write(script, question.text)
        command = ["pgbench", "--no-vacuum", f"--client={asked.clients}", f"--time={lasts}", f"--file={script}"]
        said = answer_of(command, question.database.url, limit=lasts + question.check.within.total_seconds())
    numbers = {metric: found.group(1) for metric, pattern in _FOUND.items() if (found := pattern.search(said))}
    done = _DONE.search(said)
    if "value" not in numbers or done is None:
        return Measurement(check=question.name, missing="pgbench made no transaction")
    return Measurement(check=question.name, numbers=numbers, count=int(done.group(1)))
