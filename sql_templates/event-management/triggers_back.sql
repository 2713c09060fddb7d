-- For a person, once the emergency is over and the migration stays: psql -f triggers_back.sql
SELECT emergency_triggers_back();
