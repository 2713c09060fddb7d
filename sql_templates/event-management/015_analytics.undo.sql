DROP VIEW organization_dashboard;
DROP TABLE event_metrics, price_changes;
