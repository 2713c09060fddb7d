-- A confirmed order has as many tickets as it says. At the end of the transaction: an application that makes them itself comes first.
CREATE FUNCTION issue_tickets() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
  INSERT INTO tickets (order_id, code)
  SELECT o.id, 'T-' || gen_random_uuid()
  FROM orders AS o, generate_series(1, o.quantity - (SELECT count(*) FROM tickets AS t WHERE t.order_id = o.id)::integer)
  WHERE o.id = NEW.id AND o.order_status = 'confirmed';
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER orders_tickets AFTER INSERT OR UPDATE OF order_status ON orders DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.order_status = 'confirmed') EXECUTE FUNCTION issue_tickets();

-- What POST /api/tickets/purchase and the payment webhook do, each in one call; with the rights of who calls them.
CREATE FUNCTION purchase_tickets(p_category uuid, p_quantity integer, p_email text, p_payment text) RETURNS uuid
LANGUAGE sql SET search_path = public AS $$
  INSERT INTO orders (organization_id, ticket_category_id, customer_email, quantity, amount, payment_id)
  SELECT e.organization_id, c.id, p_email, p_quantity, p_quantity * c.price, p_payment
  FROM ticket_categories AS c JOIN events AS e ON e.id = c.event_id WHERE c.id = p_category
  RETURNING id
$$;
-- How many tickets the order has then; none where there is no such payment.
CREATE FUNCTION confirm_payment(p_payment text) RETURNS bigint LANGUAGE plpgsql SET search_path = public AS $$
DECLARE
  paid orders%ROWTYPE;
BEGIN
  UPDATE orders SET order_status = 'confirmed' WHERE payment_id = p_payment AND order_status IN ('pending', 'confirmed') RETURNING * INTO paid;
  INSERT INTO payments (organization_id, order_id, payment_id, amount)
  SELECT paid.organization_id, paid.id, paid.payment_id, paid.amount WHERE paid.id IS NOT NULL
  ON CONFLICT (payment_id) DO NOTHING;
  SET CONSTRAINTS orders_tickets IMMEDIATE;
  SET CONSTRAINTS orders_tickets DEFERRED;
  RETURN (SELECT count(*) FROM tickets AS t WHERE t.order_id = paid.id);
END $$;
