-- A trigger that the emergency switched off is as it was: A, D, O or R.
SELECT emergency_triggers_back();
DROP FUNCTION emergency_triggers_back(), emergency_triggers_off();
DROP TABLE trigger_states;
