SELECT count(*) FROM health_metrics AS h WHERE NOT EXISTS (SELECT FROM businesses AS b WHERE b.id = h.business_id)
