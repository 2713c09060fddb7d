"""A query with one number, written in the runbook itself: `query: "SELECT count(*) ..."`."""

from checks.sql import measure

__all__ = ["measure"]
