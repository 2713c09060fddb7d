-- Consumption of a pool over time, for the margin of each API.
CREATE INDEX CONCURRENTLY credit_consumption_log_pool_idx ON credit_consumption_log (pool, created_at);
