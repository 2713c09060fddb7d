DELETE FROM event_metrics;
