SELECT id, name, asking_price FROM businesses WHERE owner_id IN ('user-7', 'user-77', 'user-777') ORDER BY created_at
