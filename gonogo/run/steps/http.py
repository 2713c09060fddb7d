"""A request to a web service, made once."""

from gonogo.run.steps.external import perform, undo

__all__ = ["perform", "undo"]
