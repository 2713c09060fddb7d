DROP TABLE data_retention_policies, export_history;
