SELECT count(*) FROM users WHERE id IS NULL
