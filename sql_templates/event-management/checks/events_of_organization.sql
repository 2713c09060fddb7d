-- The query that the plan explains, with an organization in the place of its $1: another one each time.
SELECT * FROM events
WHERE organization_id = (SELECT o.id FROM organizations AS o WHERE o.id >= gen_random_uuid() ORDER BY o.id LIMIT 1) AND start_date > now()
