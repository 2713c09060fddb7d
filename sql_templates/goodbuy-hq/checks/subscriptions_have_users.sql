SELECT count(*) FROM user_subscriptions AS us WHERE NOT EXISTS (SELECT FROM users AS u WHERE u.id = us.user_id)
