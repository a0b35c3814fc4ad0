-- name: connect
INSERT INTO connections (id, connected_at, expires_at, first_frame)
VALUES (%(id)s, engine_now(), engine_now() + %(lifetime)s * interval '1 second', %(first_frame)s)
ON CONFLICT (id) DO NOTHING

-- name: room
-- Opens the socket of whoever is let in, unless its account has as many as it may; those that open at once may come on
-- top. Says whose it is, if anybody's, and whether it is open: run twice, it is.
stored AS (
    INSERT INTO connections (id, connected_at, expires_at, first_frame, account, key_prefix)
    SELECT %(id)s, engine_now(), engine_now() + %(lifetime)s * interval '1 second', %(first_frame)s, account, prefix
    FROM asking a
    WHERE (
        SELECT count(*) FROM (SELECT FROM connections c WHERE c.account = a.account LIMIT %(most)s) others
    ) < %(most)s
    ON CONFLICT (id) DO NOTHING
    RETURNING account
), opened AS (
    SELECT account FROM stored UNION ALL SELECT account FROM connections WHERE id = %(id)s
)
SELECT coalesce((SELECT account FROM opened), (SELECT account FROM asking)), EXISTS (SELECT FROM opened)

-- name: connect_with_key
-- What is known of a key may be some seconds old; here a socket would stay.
WITH asking AS (SELECT account, prefix FROM api_keys WHERE prefix = %(key_prefix)s AND revoked_at IS NULL), :room

-- name: connect_with_ticket
-- A ticket that is given is spent, whatever comes of it.
WITH asking AS (
    DELETE FROM stream_tickets WHERE digest = %(digest)s AND expires_at > engine_now()
    RETURNING account, key_prefix AS prefix
), :room

-- name: open
-- The gateway delivers to this socket from now on. Returns the bind that came with the connect and is not served yet.
WITH opened AS (UPDATE connections SET open = true WHERE id = %(id)s AND NOT open)
SELECT first_frame, extract(epoch FROM engine_now() - connected_at)::float8, account FROM connections WHERE id = %(id)s

-- name: forget
DELETE FROM connections WHERE id = %(id)s

-- name: log_length
SELECT last_seq FROM orders WHERE id = %(id)s AND account = %(account)s

-- name: bind
-- Follow an order from after a frame; following it again starts again from there, and counts once.
INSERT INTO subscriptions AS s (connection_id, order_id, last_seq)
SELECT c.id, %(order_id)s, %(after_seq)s FROM connections c
WHERE c.id = %(id)s
  AND (SELECT count(*) FROM subscriptions WHERE connection_id = %(id)s AND order_id <> %(order_id)s) < %(most)s
ON CONFLICT (connection_id, order_id) DO UPDATE SET last_seq = EXCLUDED.last_seq, bind_no = s.bind_no + 1
RETURNING 1

-- name: bind_first
-- The same for the bind that came with the connect: whoever takes the stored frame away serves it, once.
WITH taken AS (
    UPDATE connections SET first_frame = NULL WHERE id = %(id)s AND first_frame IS NOT NULL RETURNING id
)
INSERT INTO subscriptions AS s (connection_id, order_id, last_seq)
SELECT id, %(order_id)s, %(after_seq)s FROM taken
ON CONFLICT (connection_id, order_id) DO UPDATE SET last_seq = EXCLUDED.last_seq, bind_no = s.bind_no + 1
RETURNING 1

-- name: drop_first
UPDATE connections SET first_frame = NULL WHERE id = %(id)s

-- name: owed
-- Subscriptions whose socket lacks events, and may be pushed to now. OFFSET keeps each look-up one by key: a planner that
-- knows little of the tables may join them by reading them whole.
FROM subscriptions s
CROSS JOIN LATERAL (SELECT last_seq FROM orders WHERE id = s.order_id OFFSET 0) o
CROSS JOIN LATERAL (SELECT * FROM connections WHERE id = s.connection_id OFFSET 0) c
WHERE o.last_seq > s.last_seq AND c.open AND (c.not_before IS NULL OR c.not_before <= engine_now())

-- name: lease
-- Take the lagging subscriptions of some orders, and read the events that each of them lacks: none where they are not
-- kept any more.
WITH lagging AS (
    SELECT s.connection_id, s.order_id, c.push_failures, o.last_seq AS length,
           extract(epoch FROM engine_now() - c.connected_at)::float8 AS age
    :owed
      AND s.order_id = ANY(%(order_ids)s)
      AND (s.lease_until IS NULL OR s.lease_until <= engine_now() OR s.lease_holder = %(holder)s)
      AND s.connection_id <> ALL(%(passed_over)s)
    -- Not by the bare column, whose index a planner may read whole to save the sorting.
    ORDER BY s.connection_id || '', s.order_id LIMIT %(most)s
    FOR UPDATE OF s
), leased AS (
    UPDATE subscriptions s
    SET lease_holder = %(holder)s, lease_until = engine_now() + %(lease)s * interval '1 second'
    FROM lagging l
    WHERE s.order_id = ANY(%(order_ids)s) AND s.connection_id = l.connection_id AND s.order_id = l.order_id
    RETURNING s.connection_id, s.order_id, s.last_seq, s.bind_no, l.push_failures, l.age, l.length
)
SELECT l.connection_id, l.order_id, l.last_seq, l.bind_no, l.push_failures, l.age, l.length, e.seq, e.status, e.meta, e.ts
FROM leased l
LEFT JOIN LATERAL (
    SELECT seq, status, meta::text, ts FROM order_events WHERE order_id = l.order_id AND seq > l.last_seq OFFSET 0
) e ON true
ORDER BY l.connection_id, l.order_id, e.seq

-- name: lacking
-- Sockets that lack events of some orders, and that nobody is serving.
SELECT DISTINCT c.id
:owed
  AND s.order_id = ANY(%(order_ids)s) AND (s.lease_until IS NULL OR s.lease_until <= engine_now())
LIMIT %(most)s

-- name: release
-- Give leases back. The cursor moves only if no bind came in between.
UPDATE subscriptions s
SET lease_holder = NULL, lease_until = NULL,
    last_seq = CASE WHEN s.bind_no = i.bind_no THEN i.last_seq ELSE s.last_seq END
FROM unnest(%(connection_ids)s::text[], %(order_ids)s::uuid[], %(last_seqs)s::int[], %(bind_nos)s::int[])
    AS i(connection_id, order_id, last_seq, bind_no)
WHERE s.connection_id = ANY(%(connection_ids)s) AND s.order_id = ANY(%(order_ids)s)
  AND s.connection_id = i.connection_id AND s.order_id = i.order_id AND s.lease_holder = %(holder)s

-- name: hold_back
-- No push to this socket for a while; only one of several callers is told so.
UPDATE connections SET not_before = engine_now() + %(delay)s * interval '1 second', push_failures = push_failures + 1
WHERE id = %(id)s AND (not_before IS NULL OR not_before <= engine_now())
RETURNING 1

-- name: recover
-- Not those that somebody has held back meanwhile.
UPDATE connections SET push_failures = 0, not_before = NULL
WHERE id = ANY(%(ids)s) AND push_failures > 0 AND (not_before IS NULL OR not_before <= engine_now())

-- name: followed
-- The orders whose events a socket lacks, and the whole seconds until pushes to it are allowed again.
SELECT s.order_id, greatest(0, ceil(extract(epoch FROM c.not_before - engine_now())))::int
FROM connections c
JOIN subscriptions s ON s.connection_id = c.id
CROSS JOIN LATERAL (SELECT last_seq FROM orders WHERE id = s.order_id OFFSET 0) o
WHERE c.id = %(id)s AND o.last_seq > s.last_seq

-- name: unserved
-- Sockets whose first frame still waits.
SELECT id FROM connections
WHERE first_frame IS NOT NULL AND connected_at < engine_now() - interval '10 seconds'
LIMIT %(most)s

-- name: lagging
-- Of the next subscriptions, `first` being the first one's socket: the sockets that lack events and that nobody is
-- serving, in order, and the last one looked at where there may be more.
WITH subscriptions AS (
    SELECT connection_id, order_id, last_seq, lease_until FROM subscriptions
    WHERE connection_id >= %(first)s ORDER BY connection_id, order_id LIMIT %(look)s
)
SELECT ARRAY(SELECT DISTINCT c.id
             :owed
               AND (s.lease_until IS NULL OR s.lease_until <= engine_now())
             ORDER BY c.id),
       (SELECT connection_id FROM subscriptions OFFSET %(look)s - 1)

-- name: expire
DELETE FROM connections WHERE id = ANY(ARRAY(
    SELECT id FROM connections WHERE expires_at <= engine_now()
    ORDER BY expires_at LIMIT %(most)s FOR UPDATE SKIP LOCKED
))
