-- business_logic_triggers.sql has no text: what an event has sold, day by day, derived from its confirmed orders.
CREATE FUNCTION refresh_event_metrics(p_event uuid, p_day date DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
  -- one after the other for each event: who comes second sees what the first has written
  PERFORM pg_advisory_xact_lock(hashtext('event_metrics'), hashtext(p_event::text));
  DELETE FROM event_metrics AS m WHERE m.event_id = p_event AND m.day = coalesce(p_day, m.day);
  INSERT INTO event_metrics (event_id, day, organization_id, tickets_sold, revenue)
  SELECT e.id, (o.created_at AT TIME ZONE 'UTC')::date, e.organization_id, sum(o.quantity), sum(o.amount)
  FROM events AS e JOIN ticket_categories AS c ON c.event_id = e.id JOIN orders AS o ON o.ticket_category_id = c.id
  WHERE e.id = p_event AND o.order_status = 'confirmed' AND (p_day IS NULL OR (o.created_at AT TIME ZONE 'UTC')::date = p_day)
  GROUP BY e.id, 2;
END $$;
REVOKE EXECUTE ON FUNCTION refresh_event_metrics(uuid, date) FROM PUBLIC;

CREATE FUNCTION order_changes_metrics() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
  at record;
BEGIN
  FOR at IN
    SELECT DISTINCT c.event_id, (o.created_at AT TIME ZONE 'UTC')::date AS day
    FROM (SELECT OLD.ticket_category_id, OLD.created_at WHERE TG_OP <> 'INSERT' AND OLD.order_status = 'confirmed'
          UNION SELECT NEW.ticket_category_id, NEW.created_at WHERE TG_OP <> 'DELETE' AND NEW.order_status = 'confirmed') AS o
    JOIN ticket_categories AS c ON c.id = o.ticket_category_id
    ORDER BY 1, 2
  LOOP
    PERFORM refresh_event_metrics(at.event_id, at.day);
  END LOOP;
  RETURN NULL;
END $$;
CREATE TRIGGER orders_metrics AFTER INSERT OR DELETE OR UPDATE OF ticket_category_id, quantity, amount, order_status, created_at ON orders
  FOR EACH ROW EXECUTE FUNCTION order_changes_metrics();
