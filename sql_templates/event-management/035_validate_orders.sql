CREATE FUNCTION category_is_own() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
  IF NOT EXISTS (
    SELECT FROM ticket_categories AS c JOIN events AS e ON e.id = c.event_id
    WHERE c.id = NEW.ticket_category_id AND e.organization_id = NEW.organization_id
  ) THEN
    RAISE EXCEPTION 'the event is not of this organization' USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER orders_category BEFORE INSERT OR UPDATE OF ticket_category_id, organization_id ON orders
  FOR EACH ROW EXECUTE FUNCTION category_is_own();
CREATE TRIGGER orders_email BEFORE INSERT OR UPDATE OF customer_email ON orders
  FOR EACH ROW WHEN (NEW.customer_email !~ '^[^@\s]+@[^@\s]+$') EXECUTE FUNCTION refuse('the customer has no e-mail address');
