-- "Financial reporting accurate": days of events whose numbers are not those of their confirmed orders.
SELECT count(*)
FROM (
  SELECT c.event_id, (o.created_at AT TIME ZONE 'UTC')::date AS day, sum(o.quantity) AS tickets_sold, sum(o.amount) AS revenue
  FROM orders AS o JOIN ticket_categories AS c ON c.id = o.ticket_category_id WHERE o.order_status = 'confirmed' GROUP BY 1, 2
) AS o FULL JOIN event_metrics AS m USING (event_id, day)
WHERE (o.tickets_sold, o.revenue) IS DISTINCT FROM (m.tickets_sold, m.revenue)
