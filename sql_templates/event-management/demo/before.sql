-- What is there before the migration: the least that the plan's queries, tests and functions name. One trigger is off on purpose.
CREATE TABLE organizations (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE organization_members (organization_id uuid NOT NULL REFERENCES organizations(id) ON DELETE CASCADE, user_id uuid NOT NULL, role text NOT NULL DEFAULT 'member', PRIMARY KEY (organization_id, user_id));
CREATE TABLE venues (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), organization_id uuid NOT NULL REFERENCES organizations(id), name text NOT NULL, capacity integer);
CREATE TABLE events (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), organization_id uuid NOT NULL REFERENCES organizations(id) ON DELETE CASCADE, venue_id uuid REFERENCES venues(id), name text NOT NULL, description text, start_date timestamptz NOT NULL, end_date timestamptz, status text NOT NULL DEFAULT 'draft', created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE ticket_categories (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), event_id uuid NOT NULL REFERENCES events(id) ON DELETE CASCADE, name text NOT NULL, price numeric(10,2) NOT NULL, quantity_total integer, quantity_sold integer NOT NULL DEFAULT 0);
CREATE TABLE orders (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), organization_id uuid NOT NULL REFERENCES organizations(id), ticket_category_id uuid NOT NULL REFERENCES ticket_categories(id), customer_email text, quantity integer NOT NULL, amount numeric(12,2) NOT NULL, payment_id text UNIQUE, order_status text NOT NULL DEFAULT 'pending', created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE tickets (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), order_id uuid NOT NULL REFERENCES orders(id) ON DELETE CASCADE, code text NOT NULL UNIQUE, checked_in_at timestamptz);
CREATE TABLE tasks (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), organization_id uuid NOT NULL REFERENCES organizations(id), event_id uuid REFERENCES events(id) ON DELETE CASCADE, title text NOT NULL, assignee_id uuid, status text NOT NULL DEFAULT 'todo', due_date date, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE sponsor_deals (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), event_id uuid NOT NULL REFERENCES events(id) ON DELETE CASCADE, sponsor text NOT NULL, amount numeric(12,2), stage text NOT NULL DEFAULT 'lead');
CREATE TABLE audit_log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, table_name text NOT NULL, row_id uuid, action text NOT NULL, old_row jsonb, new_row jsonb, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE integration_logs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, provider text NOT NULL, status text NOT NULL, payload jsonb, created_at timestamptz NOT NULL DEFAULT now());
CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at := now(); RETURN NEW; END $$;
CREATE TRIGGER events_touch BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE FUNCTION notify_order() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_notify('orders', NEW.id::text); RETURN NULL; END $$;
CREATE TRIGGER orders_notify AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION notify_order();
ALTER TABLE orders DISABLE TRIGGER orders_notify;
