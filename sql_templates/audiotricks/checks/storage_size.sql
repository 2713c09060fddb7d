-- "Storage growth rate", in MB
SELECT pg_database_size(current_database()) / 1048576.0
