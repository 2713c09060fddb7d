"""What needs people, as an incident in PagerDuty (Events API v2): over with the report of its run, or with its alert.

https://developer.pagerduty.com/docs/events-api-v2/overview
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from gonogo.core.model.people import Person
from gonogo.core.text.acts import ACKNOWLEDGE
from gonogo.core.text.messages import Update
from gonogo.core.text.plain import unmarked
from gonogo.notify.channel import Channel, Sent
from gonogo.notify.post import post

#: GONOGO_PAGERDUTY_URL is for a region of its own, such as the EU's, and for tests
_ADDRESS = "https://events.pagerduty.com/v2/enqueue"
_SUMMARY = 1024


@dataclass(frozen=True, kw_only=True)
class PagerDutyChannel:
    """Opens an incident a run, and resolves it."""

    key: str

    def send(self, where: str, update: Update, people: Mapping[str, Person], root: Sent | None) -> Sent:
        """Open an incident with what needs people; resolve it with what says that this is over; leave it alone with the rest."""
        del people, root
        known = json.loads(update.bound or "{}")
        # an alert outside of a run has no run: each is an incident of its own
        incident = f"gonogo {known['run']}" if known else f"gonogo {where} {update.about or update.key}"
        if update.over:
            self._post(incident, "resolve", update, where, known)
        elif ACKNOWLEDGE in update.acts or (update.loud and not known):
            self._post(incident, "trigger", update, where, known)
        return Sent(channel=where, ts=incident)

    def _post(self, incident: str, action: str, update: Update, where: str, known: Mapping[str, object]) -> None:
        text = unmarked(update.text)
        event = {
            "routing_key": self.key,
            "event_action": action,
            "dedup_key": incident,
            "payload": {
                "summary": text.split("\n")[0][:_SUMMARY] or "a run needs people",
                "source": str(known.get("target", "")) or where,
                "severity": "critical",
                "component": where,
                "custom_details": {"text": text, **dict(update.facts), **known},
            },
            "links": [{"href": address, "text": name} for name, address in update.opens],
        }
        post("PagerDuty", os.environ.get("GONOGO_PAGERDUTY_URL") or _ADDRESS, json.dumps(event).encode(), {})


def open_channel(secret: str) -> Channel:
    """Return what opens incidents with an integration's routing key."""
    return PagerDutyChannel(key=secret.strip())
