-- On tables in use, so CONCURRENTLY. The plan's initial_indexes.sql has no text: these are what row-level security, the plan's own
-- queries and the daily clean-up of the audit log would else read whole tables for.
CREATE INDEX CONCURRENTLY idx_events_organization_start ON events (organization_id, start_date);
CREATE INDEX CONCURRENTLY idx_events_name ON events USING gin (name gin_trgm_ops);
CREATE INDEX CONCURRENTLY idx_venues_organization ON venues (organization_id);
CREATE INDEX CONCURRENTLY idx_ticket_categories_event ON ticket_categories (event_id);
CREATE INDEX CONCURRENTLY idx_orders_organization_created ON orders (organization_id, created_at);
CREATE INDEX CONCURRENTLY idx_orders_category ON orders (ticket_category_id);
CREATE INDEX CONCURRENTLY idx_orders_created ON orders (created_at);
CREATE INDEX CONCURRENTLY idx_tickets_order ON tickets (order_id);
CREATE INDEX CONCURRENTLY idx_tasks_organization ON tasks (organization_id, status);
CREATE INDEX CONCURRENTLY idx_tasks_event ON tasks (event_id);
CREATE INDEX CONCURRENTLY idx_sponsor_deals_event ON sponsor_deals (event_id);
CREATE INDEX CONCURRENTLY idx_audit_log_created ON audit_log (created_at);
CREATE INDEX CONCURRENTLY idx_audit_log_row ON audit_log (row_id);
CREATE INDEX CONCURRENTLY idx_integration_logs_created ON integration_logs (created_at);
