-- Tables whose changes nobody writes down.
SELECT count(*)
FROM unnest(ARRAY['organizations', 'organization_members', 'events', 'ticket_categories', 'orders', 'sponsor_deals', 'payments']) AS t (name)
WHERE NOT EXISTS (
  SELECT FROM pg_trigger AS g WHERE g.tgrelid = to_regclass('public.' || t.name) AND g.tgname = 'audit_change' AND g.tgenabled <> 'D')
