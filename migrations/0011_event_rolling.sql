-- Coming partitions of the events are made by one statement and old ones dropped by another, so that a drop that fails
-- takes back nothing that was made. `engine_roll_events` stays for the release before, which still calls it.
-- depends: 0010_lookups

-- Makes the next partition when the last one is nearly over. `full` says that the default partition has more than `most`
-- rows, too many to move while everybody waits: no partition is made, and nothing is lost. Three partitions make up
-- `keep`, however long it is, since each one more costs every statement that reads events; NULL keeps all. Where nothing
-- is due, it only reads.
CREATE FUNCTION engine_make_events(keep interval, most int DEFAULT 20000)
    RETURNS TABLE (done text, partition text)
    LANGUAGE plpgsql SECURITY DEFINER
    -- All statements on events queue up behind whoever waits for this lock, so it is tried briefly and again later.
    SET lock_timeout = '100ms'
AS $$
DECLARE
    span interval := CASE WHEN keep IS NULL THEN interval '1 year' ELSE greatest(keep / 3, interval '1 day') END;
    newest event_partitions;
    ending timestamptz;
    made text;
BEGIN
    IF NOT pg_try_advisory_xact_lock('order_events'::regclass::oid::bigint) THEN
        RETURN;
    END IF;
    SELECT * INTO newest FROM event_partitions ORDER BY past_id DESC LIMIT 1;
    IF newest.past >= engine_now() + span / 4 THEN
        RETURN;
    END IF;
    IF (SELECT count(*) FROM (SELECT FROM order_events_default LIMIT most + 1) spilled) > most THEN
        RETURN QUERY VALUES ('full', 'order_events_default');
        RETURN;
    END IF;
    made := 'order_events_' || to_char(newest.past AT TIME ZONE 'UTC', 'YYYYMMDD');
    ending := date_trunc('day', greatest(newest.past, engine_now()) + span, 'UTC');
    LOCK TABLE ONLY order_events IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('CREATE TABLE %I (LIKE order_events INCLUDING ALL)', made);
    EXECUTE format(
        'WITH moved AS (DELETE FROM order_events_default WHERE order_id >= $1 AND order_id < $2 RETURNING *) '
        'INSERT INTO %I SELECT * FROM moved', made) USING newest.past_id, engine_first_id(ending);
    EXECUTE format('ALTER TABLE order_events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   made, newest.past_id, engine_first_id(ending));
    RETURN QUERY VALUES ('made', made);
END
$$;
REVOKE EXECUTE ON FUNCTION engine_make_events FROM PUBLIC;

-- Drops the oldest partition if its orders were all placed longer ago than `keep` and have all ended; NULL keeps all.
-- Where nothing is due, it only reads.
CREATE FUNCTION engine_drop_events(keep interval)
    RETURNS TABLE (done text, partition text)
    LANGUAGE plpgsql SECURITY DEFINER
    -- As above.
    SET lock_timeout = '100ms'
AS $$
DECLARE
    oldest event_partitions;
BEGIN
    IF NOT pg_try_advisory_xact_lock('order_events'::regclass::oid::bigint) THEN
        RETURN;
    END IF;
    SELECT * INTO oldest FROM event_partitions p
        -- The last one stays: the next begins where it ends.
        WHERE past <= engine_now() - keep
          AND past_id < (SELECT past_id FROM event_partitions ORDER BY past_id DESC LIMIT 1)
          AND NOT EXISTS (SELECT FROM orders WHERE outcome IS NULL AND id < p.past_id)
        ORDER BY past_id LIMIT 1;
    IF oldest IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('DROP TABLE %s', oldest.partition);
    RETURN QUERY VALUES ('dropped', oldest.partition);
END
$$;
REVOKE EXECUTE ON FUNCTION engine_drop_events FROM PUBLIC;

DO $$
BEGIN
    -- No caller's tables in place of the engine's.
    EXECUTE format('ALTER FUNCTION engine_make_events SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION engine_drop_events SET search_path = %I, pg_temp', current_schema());
END
$$;
