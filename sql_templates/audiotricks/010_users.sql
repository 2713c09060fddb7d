-- Migration 1, table by table: the plan's one script would hold five tables in use until its last statement.
ALTER TABLE users
  ADD COLUMN first_name varchar(255),
  ADD COLUMN last_name varchar(255),
  ADD COLUMN avatar_url text,
  ADD COLUMN timezone varchar(50) DEFAULT 'UTC';
