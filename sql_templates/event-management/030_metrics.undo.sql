DROP TRIGGER orders_metrics ON orders;
DROP FUNCTION order_changes_metrics(), refresh_event_metrics(uuid, date);
DELETE FROM event_metrics;
