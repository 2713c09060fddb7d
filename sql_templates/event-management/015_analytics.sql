CREATE TABLE price_changes (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  ticket_category_id uuid NOT NULL REFERENCES ticket_categories (id) ON DELETE CASCADE,
  old_price numeric(10, 2) NOT NULL,
  new_price numeric(10, 2) NOT NULL CHECK (new_price >= 0),
  reason text,
  changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_price_changes_organization ON price_changes (organization_id, changed_at DESC);
CREATE INDEX idx_price_changes_category ON price_changes (ticket_category_id);

-- What was sold of an event on a day (UTC): derived from confirmed orders, and from nothing else.
CREATE TABLE event_metrics (
  event_id uuid NOT NULL REFERENCES events (id) ON DELETE CASCADE,
  day date NOT NULL,
  organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  tickets_sold bigint NOT NULL,
  revenue numeric(14, 2) NOT NULL,
  PRIMARY KEY (event_id, day)
);
CREATE INDEX idx_event_metrics_organization ON event_metrics (organization_id, day);
GRANT SELECT, INSERT, UPDATE, DELETE ON price_changes TO event_app;
GRANT SELECT ON event_metrics TO event_app;

-- GET /api/analytics/dashboard. A view reads with the rights of its owner, whom no policy binds: so it says itself whose rows it shows.
CREATE VIEW organization_dashboard AS
SELECT o.id AS organization_id,
  (SELECT count(*) FROM events AS e WHERE e.organization_id = o.id) AS events,
  (SELECT count(*) FROM orders AS r WHERE r.organization_id = o.id) AS orders,
  (SELECT count(*) FROM tickets AS t JOIN orders AS r ON r.id = t.order_id WHERE r.organization_id = o.id) AS tickets,
  (SELECT count(*) FROM tasks AS t WHERE t.organization_id = o.id) AS tasks,
  (SELECT coalesce(sum(m.revenue), 0) FROM event_metrics AS m WHERE m.organization_id = o.id) AS revenue
FROM organizations AS o WHERE o.id = current_organization();
GRANT SELECT ON organization_dashboard TO event_app;
