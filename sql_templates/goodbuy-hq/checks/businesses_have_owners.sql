SELECT count(*) FROM businesses AS b WHERE b.owner_id IS NOT NULL AND NOT EXISTS (SELECT FROM users AS u WHERE u.id = b.owner_id)
