-- The moment from which on events go to a partition of their own. The rows of before are checked by the next migration,
-- while the engine goes on.
-- depends: 0006_repeats

-- Comes before each UUIDv7 of a moment, and after each of before.
CREATE FUNCTION engine_first_id(moment timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN rpad(lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0'), 32, '0')::uuid;

-- The moment of a UUIDv7.
CREATE FUNCTION engine_moment(id uuid) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0);

DO $$
DECLARE
    bound uuid := engine_first_id(date_trunc('day', engine_now(), 'UTC') + interval '30 days');
BEGIN
    -- Where there are ids that the engine did not make, what is there stays in one partition for good.
    IF EXISTS (SELECT FROM order_events WHERE order_id >= bound) THEN
        bound := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
    END IF;
    EXECUTE format('ALTER TABLE order_events ADD CONSTRAINT events_before CHECK (order_id < %L) NOT VALID', bound);
END
$$;
