\set n random(1, 1000)
SELECT id, name FROM businesses WHERE owner_id = 'user-' || :n;
SELECT score FROM health_metrics WHERE business_id = 'business-' || :n ORDER BY calculated_at DESC LIMIT 1;
INSERT INTO sessions (id, session_token, user_id, expires) VALUES (gen_random_uuid()::text, gen_random_uuid()::text, 'user-' || :n, now());
