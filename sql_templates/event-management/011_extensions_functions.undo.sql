DROP FUNCTION current_organization();
DROP EXTENSION pg_trgm;
