-- Events in partitions by the moment in their order's id, so that old ones are dropped and not deleted row by row.
-- depends: 0007_event_bound

-- Reads the whole table while the engine writes on; the partition is then attached without being read.
ALTER TABLE order_events VALIDATE CONSTRAINT events_before;

ALTER TABLE order_events RENAME TO order_events_first;
ALTER TABLE order_events_first RENAME CONSTRAINT order_events_pkey TO order_events_first_pkey;

CREATE TABLE order_events (
    order_id uuid NOT NULL,
    seq      int NOT NULL,
    status   text NOT NULL,
    meta     json NOT NULL,
    ts       timestamptz NOT NULL,
    PRIMARY KEY (order_id, seq)
) PARTITION BY RANGE (order_id);

DO $$
DECLARE
    bound text := substring(pg_get_constraintdef(oid) FROM '''(.+)''')
        FROM pg_constraint WHERE conrelid = 'order_events_first'::regclass AND conname = 'events_before';
BEGIN
    EXECUTE format(
        'ALTER TABLE order_events ATTACH PARTITION order_events_first FOR VALUES FROM (MINVALUE) TO (%L)', bound);
END
$$;
ALTER TABLE order_events_first DROP CONSTRAINT events_before;

-- Takes what no partition is there for, so that no event is ever refused. Empty unless the sweep stood still for days.
CREATE TABLE order_events_default PARTITION OF order_events DEFAULT;

-- The partitions that have an end: the first id past each, and its moment.
CREATE VIEW event_partitions AS
SELECT c.oid::regclass::text AS partition, past.id::uuid AS past_id, engine_moment(past.id::uuid) AS past
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
CROSS JOIN LATERAL substring(pg_get_expr(c.relpartbound, c.oid) FROM ' TO \(''(.+)''\)') AS past(id)
WHERE i.inhparent = 'order_events'::regclass AND past.id IS NOT NULL;

-- Makes the next partition when the last one is nearly over, and drops one whose orders were all placed longer ago than
-- `keep` and have all ended; NULL keeps all. `full` says that the default partition has more than `most` rows, too many
-- to move while everybody waits: no partition is made, and nothing is lost. Three partitions make up `keep`, however
-- long it is, since each one more costs every statement that reads events. Where nothing is due, it only reads.
CREATE FUNCTION engine_roll_events(keep interval, most int DEFAULT 20000)
    RETURNS TABLE (done text, partition text)
    LANGUAGE plpgsql SECURITY DEFINER
    -- All statements on events queue up behind whoever waits for this lock, so it is tried briefly and again later.
    SET lock_timeout = '100ms'
AS $$
DECLARE
    span interval := CASE WHEN keep IS NULL THEN interval '1 year' ELSE greatest(keep / 3, interval '1 day') END;
    newest event_partitions;
    oldest event_partitions;
    ending timestamptz;
    made text;
BEGIN
    IF NOT pg_try_advisory_xact_lock('order_events'::regclass::oid::bigint) THEN
        RETURN;
    END IF;
    SELECT * INTO newest FROM event_partitions ORDER BY past_id DESC LIMIT 1;
    SELECT * INTO oldest FROM event_partitions p
        WHERE past <= engine_now() - keep AND past_id < newest.past_id
          AND NOT EXISTS (SELECT FROM orders WHERE outcome IS NULL AND id < p.past_id)
        ORDER BY past_id LIMIT 1;
    IF newest.past < engine_now() + span / 4 THEN
        IF (SELECT count(*) FROM (SELECT FROM order_events_default LIMIT most + 1) spilled) <= most THEN
            made := 'order_events_' || to_char(newest.past AT TIME ZONE 'UTC', 'YYYYMMDD');
        ELSE
            RETURN QUERY VALUES ('full', 'order_events_default');
        END IF;
    END IF;
    IF made IS NULL AND oldest IS NULL THEN
        RETURN;
    END IF;
    LOCK TABLE ONLY order_events IN ACCESS EXCLUSIVE MODE;
    IF made IS NOT NULL THEN
        ending := date_trunc('day', greatest(newest.past, engine_now()) + span, 'UTC');
        EXECUTE format('CREATE TABLE %I (LIKE order_events INCLUDING ALL)', made);
        EXECUTE format(
            'WITH moved AS (DELETE FROM order_events_default WHERE order_id >= $1 AND order_id < $2 RETURNING *) '
            'INSERT INTO %I SELECT * FROM moved', made) USING newest.past_id, engine_first_id(ending);
        EXECUTE format('ALTER TABLE order_events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                       made, newest.past_id, engine_first_id(ending));
        RETURN QUERY VALUES ('made', made);
    END IF;
    IF oldest IS NOT NULL THEN
        EXECUTE format('DROP TABLE %s', oldest.partition);
        RETURN QUERY VALUES ('dropped', oldest.partition);
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION engine_roll_events FROM PUBLIC;

DO $$
BEGIN
    -- No caller's tables in place of the engine's.
    EXECUTE format('ALTER FUNCTION engine_roll_events SET search_path = %I, pg_temp', current_schema());
END
$$;
