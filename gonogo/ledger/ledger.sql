CREATE SCHEMA gonogo;

CREATE TABLE gonogo.event (
	run TEXT NOT NULL,
	seq BIGINT NOT NULL,
	kind TEXT NOT NULL,
	at TIMESTAMP WITH TIME ZONE NOT NULL,
	began TIMESTAMP WITH TIME ZONE NOT NULL,
	actor TEXT NOT NULL,
	body JSON NOT NULL,
	previous BYTEA NOT NULL,
	hash BYTEA NOT NULL,
	PRIMARY KEY (run, seq)
);

CREATE TABLE gonogo.fence (
	id SERIAL NOT NULL CHECK (id = 1),
	run TEXT,
	epoch BIGINT NOT NULL,
	pid INTEGER,
	backend_start TIMESTAMP WITH TIME ZONE,
	holder TEXT,
	PRIMARY KEY (id)
);

CREATE TABLE gonogo.run (
	id TEXT NOT NULL,
	runbook TEXT NOT NULL,
	target TEXT NOT NULL,
	opened TIMESTAMP WITH TIME ZONE NOT NULL,
	seq BIGINT NOT NULL,
	PRIMARY KEY (id)
);

CREATE TABLE gonogo.script (
	sha256 TEXT NOT NULL,
	text TEXT NOT NULL,
	PRIMARY KEY (sha256)
);

CREATE TABLE gonogo.delivery (
	id BIGINT GENERATED ALWAYS AS IDENTITY,
	run TEXT NOT NULL,
	seq BIGINT NOT NULL,
	key TEXT NOT NULL,
	channel TEXT,
	ts TEXT,
	error TEXT,
	at TIMESTAMP WITH TIME ZONE NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(run) REFERENCES gonogo.run (id)
);

COMMENT ON TABLE gonogo.event IS 'The events of each run: append-only, each chained to the one before it.';

COMMENT ON TABLE gonogo.fence IS 'Who may change this database now: every step''s transaction reads it FOR SHARE at its own epoch.';

COMMENT ON TABLE gonogo.run IS 'One execution of a runbook on this database.';

COMMENT ON TABLE gonogo.script IS 'The SQL of every planned script, so that a run can go on and roll back without its files.';

COMMENT ON TABLE gonogo.delivery IS 'Which updates were sent, where they are, and which could not be.';

CREATE FUNCTION gonogo.enter(p_run text, p_epoch bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM 1 FROM gonogo.fence WHERE id = 1 AND run = p_run AND epoch = p_epoch FOR SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'another runner took this run over' USING ERRCODE = 'GN001';
  END IF;
  -- gonogo.append compares it, so a step can never be recorded outside the transaction it was done in
  PERFORM set_config('gonogo.xid', pg_current_xact_id()::text, true);
END $$;

-- for a runner that knows an event: a server that came back without its newest commits, or was restored, no longer has it
CREATE FUNCTION gonogo.enter(p_run text, p_epoch bigint, p_seq bigint, p_at_us bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM gonogo.enter(p_run, p_epoch);
  PERFORM 1 FROM gonogo.event WHERE run = p_run AND seq = p_seq AND (extract(epoch FROM at) * 1000000)::bigint = p_at_us;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the ledger lacks event % of this run, which its runner recorded', p_seq USING ERRCODE = 'GN006';
  END IF;
END $$;

-- answers the event's number, and the microseconds since 1970 of when it was recorded and its transaction began
CREATE FUNCTION gonogo.append(p_run text, p_kind text, p_actor text, p_body json, p_entered boolean) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_seq bigint;
  v_at timestamptz;
  v_at_us bigint;
  v_began_us bigint := extract(epoch FROM now()) * 1000000;
BEGIN
  IF p_entered AND current_setting('gonogo.xid', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
    RAISE EXCEPTION 'the script ended its own transaction' USING ERRCODE = 'GN002';
  END IF;
  UPDATE gonogo.run SET seq = seq + 1 WHERE id = p_run RETURNING seq INTO v_seq;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no run %', p_run USING ERRCODE = 'GN003';
  END IF;
  v_at := clock_timestamp();
  v_at_us := extract(epoch FROM v_at) * 1000000;
  INSERT INTO gonogo.event (run, seq, kind, at, began, actor, body, previous, hash)
  SELECT p_run, v_seq, p_kind, v_at, now(), p_actor, p_body, p.hash, sha256(p.hash || convert_to(
    concat_ws(chr(31), p_run, v_seq, p_kind, v_at_us, v_began_us, p_actor, p_body::text), 'UTF8'))
  FROM (SELECT coalesce((SELECT hash FROM gonogo.event WHERE run = p_run AND seq = v_seq - 1), '') AS hash) AS p;
  IF NOT p_entered THEN
    PERFORM pg_notify('gonogo', p_run);
  END IF;
  RETURN concat_ws(' ', v_seq, v_at_us, v_began_us);
END $$;

CREATE FUNCTION gonogo.refuse_change() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'the ledger is append-only' USING ERRCODE = 'GN004';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON gonogo.event
  FOR EACH STATEMENT EXECUTE FUNCTION gonogo.refuse_change();

INSERT INTO gonogo.fence (id, epoch) VALUES (1, 0);

COMMENT ON SCHEMA gonogo IS 'gonogo ledger 3';
