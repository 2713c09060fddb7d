ALTER TABLE usage_metrics ADD CONSTRAINT usage_metrics_amounts CHECK (quantity >= 0 AND cost >= 0) NOT VALID;
ALTER TABLE usage_metrics ADD CONSTRAINT usage_metrics_period CHECK (period_end >= period_start) NOT VALID;
ALTER TABLE user_quotas ADD CONSTRAINT user_quotas_period CHECK (period_end > period_start) NOT VALID;
ALTER TABLE storage_quotas ADD CONSTRAINT storage_quotas_sizes
  CHECK (max_storage_bytes >= 0 AND max_file_count >= 0 AND max_file_size >= 0 AND current_storage_bytes >= 0 AND current_file_count >= 0) NOT VALID;
