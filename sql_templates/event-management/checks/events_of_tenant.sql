-- Says whose they are, so that it asks the same before there is a policy.
SELECT * FROM events WHERE organization_id = '00000000-0000-4000-8000-00000000c0de' AND start_date > now()
