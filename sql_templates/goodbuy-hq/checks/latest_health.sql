-- The latest health of a business, which is drawn by lot: a row of a page of the table.
SELECT business_id, score FROM health_metrics WHERE business_id = coalesce(
  (SELECT business_id FROM health_metrics WHERE ctid = (
     SELECT format('(%s,1)', floor(random() * greatest(relpages, 1)))::tid FROM pg_class WHERE oid = 'health_metrics'::regclass)),
  (SELECT min(business_id) FROM health_metrics))
ORDER BY calculated_at DESC LIMIT 1
