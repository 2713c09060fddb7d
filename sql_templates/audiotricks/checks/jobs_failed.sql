-- "Background job performance": the share of jobs that failed in the last hour, and how many ended
SELECT count(*) FILTER (WHERE status = 'failed')::numeric / nullif(count(*), 0), count(*)
FROM processing_jobs WHERE completed_at > CURRENT_TIMESTAMP::timestamp - interval '1 hour'
