-- validation_triggers.sql has no text: what the columns mean. A trigger looks at what is written from now on, and only where these
-- columns are; a constraint would refuse every later change of a row that was wrong before.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME;
END $$;
CREATE FUNCTION venue_is_own() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
  -- a foreign key sees every organization's venues
  IF NOT EXISTS (SELECT FROM venues AS v WHERE v.id = NEW.venue_id AND v.organization_id = NEW.organization_id) THEN
    RAISE EXCEPTION 'the venue is not of this organization' USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER events_dates BEFORE INSERT OR UPDATE OF start_date, end_date ON events
  FOR EACH ROW WHEN (NEW.end_date < NEW.start_date) EXECUTE FUNCTION refuse('an event ends before it begins');
CREATE TRIGGER events_venue BEFORE INSERT OR UPDATE OF venue_id, organization_id ON events
  FOR EACH ROW WHEN (NEW.venue_id IS NOT NULL) EXECUTE FUNCTION venue_is_own();
