-- Without CASCADE: what somebody else hung on these tables is not dropped silently.
DROP TABLE webhook_events, payments, sponsors, profiles;
