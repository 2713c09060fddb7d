-- Daily. The plan's thirty days; in one statement it holds back VACUUM as long as it runs, so what is left over goes the next time.
DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE created_at < now() - interval '30 days' ORDER BY created_at LIMIT 100000);
