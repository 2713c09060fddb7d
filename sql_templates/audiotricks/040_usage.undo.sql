DROP TABLE user_quotas, usage_metrics;
