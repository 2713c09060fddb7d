-- Organizations whose remaining credits are not what their consumption left.
SELECT count(*)
FROM organization_credits AS c
LEFT JOIN (SELECT organization_id, sum(credits) AS credits FROM credit_consumption_log GROUP BY 1) AS used USING (organization_id)
WHERE c.credits_remaining <> greatest(c.total_credits - coalesce(used.credits, 0), 0)
