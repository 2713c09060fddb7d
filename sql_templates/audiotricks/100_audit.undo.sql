DROP TABLE audit_logs, security_events;
