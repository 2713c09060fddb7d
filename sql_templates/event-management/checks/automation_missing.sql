-- Triggers of the business logic that are not there, or switched off.
SELECT count(*)
FROM (VALUES ('orders', 'orders_metrics'), ('orders', 'orders_tickets'), ('orders', 'orders_category'), ('orders', 'orders_email'),
  ('events', 'events_workflows'), ('events', 'events_dates'), ('events', 'events_venue')) AS t (table_name, name)
WHERE NOT EXISTS (
  SELECT FROM pg_trigger AS g WHERE g.tgrelid = to_regclass('public.' || t.table_name) AND g.tgname = t.name AND g.tgenabled <> 'D')
