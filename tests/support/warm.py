"""What each command makes anew when it first needs it, made once for all that are forked: models, templates of reports."""

from __future__ import annotations

import gc

from pydantic import BaseModel

from gonogo.core.engine.events import BODIES
from gonogo.core.model.runbook import Runbook
from gonogo.core.plan.plan import Plan
from gonogo.report.report import templates

_models: tuple[type[BaseModel], ...] = (Runbook, Plan, *BODIES.values())
for _model in _models:
    _model.model_rebuild()
for _escape, _name in ((True, "report.html.j2"), (False, "report.md.j2")):
    templates(escape=_escape).get_template(_name)
# what is here stays: neither looked through by each command's collector, nor copied for it
gc.collect()
gc.freeze()
