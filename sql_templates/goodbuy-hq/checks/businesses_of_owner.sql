-- The businesses of an owner, who is drawn by lot: a row of a page of the table.
SELECT id, name, asking_price FROM businesses WHERE owner_id = coalesce(
  (SELECT owner_id FROM businesses WHERE ctid = (
     SELECT format('(%s,1)', floor(random() * greatest(relpages, 1)))::tid FROM pg_class WHERE oid = 'businesses'::regclass)),
  (SELECT min(owner_id) FROM businesses))
ORDER BY created_at
