ANALYZE events; ANALYZE orders; ANALYZE tasks;
