-- Rows of the audit log that name no organization or no action, or that cost nothing: the log must account for every credit.
SELECT count(*) FROM credit_consumption_log AS l
LEFT JOIN organizations AS o ON o.id = l.organization_id
LEFT JOIN credit_actions AS a USING (action_type)
WHERE o.id IS NULL OR a.action_type IS NULL OR l.credits <= 0
