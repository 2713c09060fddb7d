"""A database with every kind of object that PostgreSQL can make without programs of others, and many single changes to it."""

from __future__ import annotations

import psycopg

from gonogo.postgres.connection import Connection

ROLES = ("clerk LOGIN", "auditors NOLOGIN")

RICH = r"""
CREATE EXTENSION hstore; CREATE EXTENSION postgres_fdw; CREATE EXTENSION btree_gist;
CREATE SCHEMA app; COMMENT ON SCHEMA app IS 'the application'; GRANT USAGE ON SCHEMA app TO clerk;
SET search_path = app, public;
CREATE TYPE mood AS ENUM ('calm', 'cross'); CREATE DOMAIN cents AS int NOT NULL DEFAULT 1 CHECK (VALUE >= 0);
CREATE TYPE pair AS (a int, b text); CREATE TYPE trio AS (a int, b int, c int); CREATE TYPE span AS RANGE (SUBTYPE = float8);
CREATE COLLATION bytewise FROM "C";
CREATE FUNCTION plus(i int, more int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
CREATE FUNCTION said() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION heard() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION nearly(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT abs($1 - $2) < 2';
CREATE FUNCTION ordered(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT sign($1 - $2)::int';
CREATE FUNCTION as_text(pair) RETURNS text LANGUAGE sql AS 'SELECT $1.b';
CREATE FUNCTION modern(i int) RETURNS int LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT i + 2; END;
CREATE PROCEDURE work(INOUT a int) LANGUAGE plpgsql AS 'BEGIN a := 2; END';
CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE OPERATOR =~= (LEFTARG = int, RIGHTARG = int, FUNCTION = nearly, COMMUTATOR = =~=);
CREATE OPERATOR FAMILY numbers USING btree;
CREATE OPERATOR CLASS numbers_ops FOR TYPE int USING btree FAMILY numbers AS OPERATOR 1 <, OPERATOR 3 =,
  FUNCTION 1 ordered(int, int);
CREATE CAST (pair AS text) WITH FUNCTION as_text(pair) AS ASSIGNMENT;
CREATE CONVERSION latin FOR 'UTF8' TO 'LATIN1' FROM utf8_to_iso8859_1;
CREATE TEXT SEARCH DICTIONARY plain (TEMPLATE = simple, STOPWORDS = 'english');
CREATE TEXT SEARCH CONFIGURATION words (COPY = english);
ALTER TEXT SEARCH CONFIGURATION words ALTER MAPPING FOR asciiword WITH plain;
CREATE ACCESS METHOD pile TYPE TABLE HANDLER heap_tableam_handler;
CREATE SEQUENCE numbers_seq AS int INCREMENT 3;
CREATE TABLE person (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL COLLATE "C", mood mood DEFAULT 'calm', owed cents,
  tags hstore, born date, twice int GENERATED ALWAYS AS (plus(2)) STORED, number int DEFAULT nextval('numbers_seq'),
  CONSTRAINT named UNIQUE (name, born), CHECK (length(name) > 1), EXCLUDE USING gist (number WITH =));
ALTER SEQUENCE numbers_seq OWNED BY person.number;
COMMENT ON TABLE person IS 'people'; COMMENT ON COLUMN person.name IS 'as written';
GRANT SELECT (name) ON person TO clerk; GRANT INSERT ON person TO clerk WITH GRANT OPTION;
CREATE INDEX person_lower ON person USING btree (lower(name), born DESC) INCLUDE (owed) WHERE owed > 5;
CREATE UNIQUE INDEX person_known ON person (name); ALTER TABLE person REPLICA IDENTITY USING INDEX person_known;
ALTER TABLE person CLUSTER ON person_pkey;
ALTER TABLE person ALTER name SET STORAGE external, ALTER name SET STATISTICS 200, ALTER born SET (n_distinct = 5);
ALTER TABLE person SET (fillfactor = 80, toast.autovacuum_enabled = off);
ALTER TABLE person ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON person FOR UPDATE TO clerk, auditors USING (owed > 3) WITH CHECK (name = current_user);
CREATE TRIGGER says BEFORE INSERT OR UPDATE OF name ON person FOR EACH ROW WHEN (NEW.owed > 3) EXECUTE FUNCTION said('a', 'b');
CREATE STATISTICS known (dependencies, mcv) ON name, born FROM person; ALTER STATISTICS known SET STATISTICS 50;
CREATE TABLE bill (id int PRIMARY KEY, person bigint REFERENCES person ON DELETE CASCADE, paid boolean, by_hand bigint);
ALTER TABLE bill ADD CONSTRAINT later FOREIGN KEY (by_hand) REFERENCES person NOT VALID;
ALTER TABLE bill FORCE ROW LEVEL SECURITY;
CREATE RULE no_more AS ON INSERT TO bill WHERE NEW.id > 9999 DO INSTEAD NOTHING;
CREATE TABLE vip (since date) INHERITS (person);
CREATE UNLOGGED TABLE pad (i int); CREATE TABLE heap2 (i int) USING pile;
CREATE TABLE event (at date, kind text, n int) PARTITION BY RANGE (at, lower(kind));
CREATE TABLE event_old PARTITION OF event FOR VALUES FROM ('2020-01-01', 'a') TO ('2021-01-01', 'z');
CREATE TABLE keyed (id int PRIMARY KEY, n int, UNIQUE (id, n)) PARTITION BY RANGE (id);
CREATE TABLE keyed_low PARTITION OF keyed FOR VALUES FROM (0) TO (10);
CREATE TABLE event_rest PARTITION OF event DEFAULT; CREATE INDEX event_n ON event (n);
CREATE VIEW owing WITH (security_barrier) AS SELECT id, name FROM person WHERE owed > 0 WITH LOCAL CHECK OPTION;
CREATE MATERIALIZED VIEW sums AS SELECT count(*) AS n FROM person; CREATE MATERIALIZED VIEW empty AS SELECT 1 AS n WITH NO DATA;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'h', dbname 'd');
CREATE USER MAPPING FOR clerk SERVER elsewhere OPTIONS (user 'u', password 'p');
CREATE FOREIGN TABLE theirs (i int OPTIONS (column_name 'j')) SERVER elsewhere OPTIONS (table_name 't');
CREATE FOREIGN DATA WRAPPER nothing OPTIONS (debug 'true');
CREATE PUBLICATION partly FOR TABLE bill (id, paid) WHERE (id > 3); CREATE PUBLICATION all_of FOR TABLES IN SCHEMA app;
CREATE SUBSCRIPTION from_far CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false);
CREATE EVENT TRIGGER watching ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION heard();
ALTER EVENT TRIGGER watching DISABLE;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO clerk;
CREATE TRANSFORM FOR pair LANGUAGE sql (FROM SQL WITH FUNCTION varchar_support(internal));
ALTER FUNCTION plus DEPENDS ON EXTENSION hstore;
"""

#: a change, and what the name of something that differs then begins with
CHANGES: dict[str, str] = dict(
    line.rsplit("  -- ", 1)
    for line in r"""
COMMENT ON TABLE app.bill IS 'x'  -- table app.bill
COMMENT ON COLUMN app.bill.paid IS 'x'  -- column app.bill.paid
COMMENT ON INDEX app.person_lower IS 'x'  -- index app.person_lower
COMMENT ON CONSTRAINT later ON app.bill IS 'x'  -- constraint app.bill later
COMMENT ON TYPE app.mood IS 'x'  -- type app.mood
COMMENT ON TYPE app.bill IS 'x'  -- type app.bill
GRANT USAGE ON TYPE app.bill TO clerk WITH GRANT OPTION  -- type app.bill
ALTER TYPE app.trio DROP ATTRIBUTE a; ALTER TYPE app.trio ADD ATTRIBUTE a int  -- column app.trio.b
ALTER ROLE clerk SET work_mem = '9MB'  -- setting of clerk
ALTER ROLE ALL SET work_mem = '9MB'  -- setting of everyone
COMMENT ON DATABASE {database} IS 'x'  -- the database
COMMENT ON SCHEMA public IS 'x'  -- schema public
COMMENT ON FUNCTION pg_catalog.lower(text) IS 'x'  -- what PostgreSQL itself has in pg_description
COMMENT ON ROLE clerk IS 'x'  -- role clerk
ALTER TABLE app.bill OWNER TO clerk  -- table app.bill
ALTER SCHEMA app OWNER TO clerk  -- schema app
ALTER FUNCTION app.plus(int, int) OWNER TO clerk  -- function app.plus
ALTER TYPE app.mood OWNER TO clerk  -- type app.mood
ALTER PUBLICATION partly OWNER TO auditors  -- publication partly
ALTER STATISTICS app.known OWNER TO clerk  -- statistics app.known
ALTER COLLATION app.bytewise OWNER TO clerk  -- collation app.bytewise
ALTER OPERATOR CLASS app.numbers_ops USING btree OWNER TO clerk  -- operator class app.numbers_ops
ALTER AGGREGATE app.total(int) OWNER TO clerk  -- aggregate app.total
ALTER LANGUAGE plpgsql OWNER TO clerk  -- language plpgsql
GRANT DELETE ON app.bill TO clerk  -- table app.bill
GRANT UPDATE (paid) ON app.bill TO clerk  -- column app.bill.paid
REVOKE GRANT OPTION FOR INSERT ON app.person FROM clerk  -- table app.person
REVOKE USAGE ON SCHEMA app FROM clerk  -- schema app
GRANT USAGE ON SEQUENCE app.numbers_seq TO clerk  -- sequence app.numbers_seq
REVOKE EXECUTE ON FUNCTION app.plus FROM PUBLIC  -- function app.plus
GRANT USAGE ON TYPE app.mood TO clerk WITH GRANT OPTION  -- type app.mood
GRANT USAGE ON FOREIGN SERVER elsewhere TO clerk  -- foreign server elsewhere
GRANT CREATE ON DATABASE {database} TO clerk  -- the database
GRANT CREATE ON SCHEMA public TO clerk  -- schema public
REVOKE SELECT ON pg_catalog.pg_class FROM PUBLIC  -- what PostgreSQL itself has in pg_class
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT INSERT ON TABLES TO clerk  -- default privileges of
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC  -- default privileges of
GRANT auditors TO clerk  -- membership of clerk in auditors
ALTER ROLE clerk CREATEDB  -- role clerk
ALTER ROLE clerk CONNECTION LIMIT 3  -- role clerk
ALTER ROLE clerk IN DATABASE {database} SET work_mem = '9MB'  -- setting of clerk
ALTER DATABASE {database} SET work_mem = '9MB'  -- setting of everyone
ALTER DATABASE {database} CONNECTION LIMIT 5  -- the database
CREATE ROLE newcomer  -- role newcomer
ALTER EXTENSION hstore SET SCHEMA app  -- extension hstore
ALTER EXTENSION hstore DROP FUNCTION public.akeys(public.hstore)  -- extension hstore
REVOKE EXECUTE ON FUNCTION public.akeys(public.hstore) FROM PUBLIC  -- extension hstore
DROP EXTENSION btree_gist CASCADE  -- extension btree_gist
ALTER SEQUENCE app.numbers_seq INCREMENT 5  -- sequence app.numbers_seq
ALTER SEQUENCE app.numbers_seq MAXVALUE 99  -- sequence app.numbers_seq
ALTER SEQUENCE app.numbers_seq CYCLE  -- sequence app.numbers_seq
ALTER SEQUENCE app.numbers_seq AS bigint  -- sequence app.numbers_seq
ALTER SEQUENCE app.numbers_seq OWNED BY NONE  -- sequence app.numbers_seq
ALTER TABLE app.person REPLICA IDENTITY FULL  -- table app.person
ALTER TABLE app.person REPLICA IDENTITY USING INDEX person_pkey  -- index app.person_known
ALTER TABLE app.person SET WITHOUT CLUSTER  -- index app.person_pkey
ALTER TABLE app.person ALTER name SET STORAGE plain  -- column app.person.name
ALTER TABLE app.person ALTER name SET STATISTICS 9  -- column app.person.name
ALTER TABLE app.person ALTER born RESET (n_distinct)  -- column app.person.born
ALTER TABLE app.person SET (fillfactor = 70)  -- table app.person
ALTER TABLE app.person RESET (toast.autovacuum_enabled)  -- table app.person
ALTER TABLE app.person ALTER mood DROP DEFAULT  -- column app.person.mood
ALTER TABLE app.person ALTER id SET GENERATED BY DEFAULT  -- column app.person.id
ALTER TABLE app.person ALTER id DROP IDENTITY  -- column app.person.id
ALTER TABLE app.person ALTER twice DROP EXPRESSION  -- column app.person.twice
ALTER TABLE app.person ALTER mood TYPE text  -- column app.person.mood
ALTER TABLE app.bill ALTER by_hand TYPE int  -- column app.bill.by_hand
ALTER TABLE app.person ALTER born SET NOT NULL  -- column app.person.born
ALTER TABLE app.person DISABLE ROW LEVEL SECURITY  -- table app.person
ALTER TABLE app.bill NO FORCE ROW LEVEL SECURITY  -- table app.bill
ALTER POLICY own_rows ON app.person USING (owed > 4)  -- policy app.person own_rows
ALTER POLICY own_rows ON app.person TO clerk  -- policy app.person own_rows
ALTER TABLE app.person DISABLE TRIGGER says  -- trigger app.person says
ALTER TABLE app.bill DISABLE TRIGGER ALL  -- constraint app.bill
ALTER TABLE app.bill DISABLE RULE no_more  -- rule app.bill no_more
ALTER TABLE app.bill VALIDATE CONSTRAINT later  -- constraint app.bill later
ALTER TABLE app.bill ALTER CONSTRAINT bill_person_fkey DEFERRABLE  -- constraint app.bill bill_person_fkey
ALTER TABLE app.vip NO INHERIT app.person  -- table app.vip
ALTER TABLE app.event DETACH PARTITION app.event_old  -- table app.event_old
ALTER TABLE app.heap2 SET ACCESS METHOD heap  -- table app.heap2
ALTER TABLE app.pad SET LOGGED  -- table app.pad
ALTER INDEX app.person_lower SET (fillfactor = 50)  -- index app.person_lower
ALTER INDEX app.person_lower ALTER COLUMN 1 SET STATISTICS 77  -- column app.person_lower.1
ALTER DOMAIN app.cents DROP NOT NULL  -- type app.cents
ALTER DOMAIN app.cents SET DEFAULT 2  -- type app.cents
ALTER DOMAIN app.cents ADD CHECK (VALUE < 1000) NOT VALID  -- constraint app.cents
ALTER TYPE app.mood RENAME VALUE 'cross' TO 'furious'  -- type app.mood
ALTER FUNCTION app.plus(int, int) COST 7  -- function app.plus
ALTER FUNCTION app.plus(int, int) SECURITY DEFINER  -- function app.plus
ALTER FUNCTION app.plus(int, int) SET work_mem = '9MB'  -- function app.plus
ALTER FUNCTION app.plus(int, int) NO DEPENDS ON EXTENSION hstore  -- function app.plus
ALTER FUNCTION pg_catalog.lower(text) COST 5  -- what PostgreSQL itself has in pg_proc
ALTER VIEW app.owing SET (security_barrier = false)  -- view app.owing
CREATE OR REPLACE VIEW app.owing WITH (security_barrier) AS SELECT id, name FROM app.person WHERE owed > 1  -- view app.owing
REFRESH MATERIALIZED VIEW app.empty  -- view app.empty
ALTER STATISTICS app.known SET STATISTICS 60  -- statistics app.known
DROP STATISTICS app.known  -- statistics app.known
ALTER PUBLICATION partly SET TABLE app.bill (id) WHERE (id > 3)  -- publication relation app.bill
ALTER PUBLICATION partly SET (publish = 'delete')  -- publication partly
ALTER PUBLICATION all_of DROP TABLES IN SCHEMA app  -- publication namespace app
ALTER SUBSCRIPTION from_far CONNECTION 'dbname=other'  -- subscription from_far
ALTER SERVER elsewhere OPTIONS (SET host 'i')  -- foreign server elsewhere
ALTER USER MAPPING FOR clerk SERVER elsewhere OPTIONS (SET password 'q')  -- user mapping
ALTER FOREIGN TABLE app.theirs OPTIONS (SET table_name 'v')  -- foreign table app.theirs
ALTER FOREIGN TABLE app.theirs ALTER i OPTIONS (SET column_name 'k')  -- column app.theirs.i
ALTER FOREIGN DATA WRAPPER nothing OPTIONS (SET debug 'false')  -- foreign-data wrapper nothing
ALTER TEXT SEARCH DICTIONARY app.plain (accept = false)  -- text search dictionary app.plain
ALTER TEXT SEARCH CONFIGURATION app.words DROP MAPPING FOR email  -- text search configuration app.words
DROP CAST (app.pair AS text)  -- cast from app.pair
DROP CONVERSION app.latin  -- conversion app.latin
DROP TRANSFORM FOR app.pair LANGUAGE sql  -- transform for app.pair
ALTER OPERATOR app.=~= (int, int) SET (RESTRICT = eqsel)  -- operator app.=~=
ALTER OPERATOR FAMILY app.numbers USING btree ADD OPERATOR 5 > (int, int)  -- operator of access method operator 5
ALTER EVENT TRIGGER watching ENABLE REPLICA  -- event trigger watching
CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler  -- access method other
INSERT INTO app.person (name, owed, number) VALUES ('far', 1, 900)  -- sequence app.numbers_seq is behind its column app.person
""".strip().splitlines()
)


def fill(connection: Connection) -> None:
    """Make a rich database of an empty one; its roles are the server's."""
    for role in ROLES:
        try:
            connection.execute(f"CREATE ROLE {role}".encode())
        except psycopg.errors.DuplicateObject:
            continue
    connection.execute(RICH.encode())
    connection.execute("RESET search_path")


def drop_subscription(connection: Connection) -> None:
    """Let the database be dropped."""
    connection.execute("ALTER SUBSCRIPTION from_far SET (slot_name = NONE)")
    connection.execute("DROP SUBSCRIPTION from_far")
