-- The plan's only rollback: these four of the fifteen columns of its migration 1.
ALTER TABLE users
  DROP COLUMN first_name,
  DROP COLUMN last_name,
  DROP COLUMN avatar_url,
  DROP COLUMN timezone;
