# the public names with their types, for type checkers and editors; tests/unit/test_public_names.py holds them against __init__.py
from gonogo.api import Run as Run
from gonogo.api import find as find
from gonogo.api import follow as follow
from gonogo.api import launch as launch
from gonogo.api import load as load
from gonogo.api import plan as plan
from gonogo.api import read_ledger as read_ledger
from gonogo.api import read_run as read_run
from gonogo.api import resume as resume
from gonogo.api import verify_run as verify_run
from gonogo.core.engine.events import Event as Event
from gonogo.core.engine.events import Kind as Kind
from gonogo.core.engine.state import Status as Status
from gonogo.core.model.runbook import Runbook as Runbook
from gonogo.core.plan.plan import Plan as Plan
from gonogo.errors import BadInput as BadInput
from gonogo.errors import Fenced as Fenced
from gonogo.errors import GonogoError as GonogoError
from gonogo.errors import Problem as Problem
from gonogo.errors import Refused as Refused
from gonogo.errors import StepError as StepError
from gonogo.errors import TargetBusy as TargetBusy
from gonogo.errors import Unreachable as Unreachable
from gonogo.own_checks import Answer as Answer
from gonogo.own_checks import Ask as Ask
from gonogo.own_checks import check as check
from gonogo.planning.open import OpenedRunbook as OpenedRunbook
from gonogo.planning.prepared import Prepared as Prepared

__version__: str
__all__: list[str]  # noqa: PYI035 - it is made of _PUBLIC
_PUBLIC: dict[str, str]
