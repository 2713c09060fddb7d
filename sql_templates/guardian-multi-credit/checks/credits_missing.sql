-- Credits that neither the log nor the balances account for, over all organizations. Consumption leaves it as it is; a renewed cycle
-- or a gift makes it less; what is lost makes it more. It is compared with what it was before the first change.
SELECT coalesce(sum(greatest(c.total_credits - coalesce(used.credits, 0) - c.credits_remaining, 0)), 0), count(*)
FROM organization_credits AS c
LEFT JOIN (SELECT organization_id, sum(credits) AS credits FROM credit_consumption_log GROUP BY 1) AS used USING (organization_id)
