-- The plan counts what every integration failed at, under the name of payment webhooks.
SELECT count(*) FROM integration_logs WHERE provider = 'stripe' AND status = 'error' AND created_at > now() - interval '1 hour'
