"""A program with its arguments: what it does to the world is its own."""

from gonogo.run.steps.external import perform, undo

__all__ = ["perform", "undo"]
