SELECT count(*) FROM users AS u WHERE NOT EXISTS (SELECT FROM user_subscriptions AS us WHERE us.user_id = u.id)
