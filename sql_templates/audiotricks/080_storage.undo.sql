DROP TABLE storage_quotas;
