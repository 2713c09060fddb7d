SELECT DISTINCT ON (business_id) business_id, score FROM health_metrics WHERE business_id IN ('business-7', 'business-77')
ORDER BY business_id, calculated_at DESC
