DROP TRIGGER events_venue ON events;
DROP TRIGGER events_dates ON events;
DROP FUNCTION venue_is_own(), refuse();
