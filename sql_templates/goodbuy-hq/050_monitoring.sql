-- The plan only says "performance monitoring tables" and "materialized views for complex subscription analytics".
CREATE TABLE performance_samples (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  query varchar NOT NULL,
  took_ms numeric NOT NULL CHECK (took_ms >= 0),
  sampled_at timestamp NOT NULL DEFAULT now()
);

CREATE MATERIALIZED VIEW subscription_analytics AS
SELECT p.name AS plan, s.status, count(*) AS subscriptions
FROM user_subscriptions AS s JOIN subscription_plans AS p ON p.id = s.plan_id
GROUP BY p.name, s.status;
