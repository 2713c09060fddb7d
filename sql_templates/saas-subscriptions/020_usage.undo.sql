DROP TABLE usage_events, user_usage_history, user_usage_current, usage_metrics;
