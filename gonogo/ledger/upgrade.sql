-- for a runner that knows an event: a server that came back without its newest commits, or was restored, no longer has it
CREATE OR REPLACE FUNCTION gonogo.enter(p_run text, p_epoch bigint, p_seq bigint, p_at_us bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM gonogo.enter(p_run, p_epoch);
  PERFORM 1 FROM gonogo.event WHERE run = p_run AND seq = p_seq AND (extract(epoch FROM at) * 1000000)::bigint = p_at_us;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the ledger lacks event % of this run, which its runner recorded', p_seq USING ERRCODE = 'GN006';
  END IF;
END $$;
