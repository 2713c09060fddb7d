VACUUM events;
VACUUM ticket_categories;
VACUUM orders;
VACUUM tickets;
VACUUM payments;
VACUUM event_metrics;
VACUUM audit_log;
