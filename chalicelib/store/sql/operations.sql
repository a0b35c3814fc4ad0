-- name: parked
-- The parked orders that were placed first.
SELECT json_build_object('now', engine_now(), 'row', to_json(o),
    'repeated_as', NULL, 'valid_until', (SELECT valid_until FROM submissions WHERE tx_id = o.open_tx))::text
FROM orders o WHERE outcome IS NULL AND parked_at IS NOT NULL ORDER BY id LIMIT %(limit)s

-- name: failed
-- The failed orders that were placed last. Those of last year must not hide the ones of this night.
SELECT json_build_object('now', engine_now(), 'row', to_json(o),
    'repeated_as', (SELECT r.id FROM orders r WHERE r.repeat_of = o.id), 'valid_until', NULL)::text
FROM orders o WHERE outcome = 'failed' ORDER BY id DESC LIMIT %(limit)s

-- name: case
-- All that is known of one order, in one snapshot. `resend_at` is when the statement `due` of orders.sql finds it.
SELECT json_build_object(
    'now', engine_now(),
    'row', to_json(o),
    'resend_at', o.enqueued_at
        + greatest(%(gap)s * interval '1 second', least(o.enqueued_at - o.last_update, interval '1 hour')),
    'repeated_as', (SELECT r.id FROM orders r WHERE r.repeat_of = o.id),
    'events', (SELECT coalesce(json_agg(e ORDER BY e.seq), '[]') FROM order_events e WHERE e.order_id = o.id),
    'submissions', (SELECT coalesce(json_agg(s ORDER BY s.written_at), '[]') FROM submissions s WHERE s.order_id = o.id),
    'followers', (SELECT count(*) FROM subscriptions s WHERE s.order_id = o.id),
    'lagging', (SELECT count(*) FROM subscriptions s WHERE s.order_id = o.id AND s.last_seq < o.last_seq),
    'sockets', (
        SELECT coalesce(json_agg(l), '[]') FROM (
            SELECT s.connection_id, s.last_seq, s.lease_until, c.open, c.not_before, c.push_failures
            FROM subscriptions s JOIN connections c ON c.id = s.connection_id
            WHERE s.order_id = o.id AND s.last_seq < o.last_seq
            ORDER BY s.last_seq, s.connection_id LIMIT %(most)s
        ) l)
)::text
FROM orders o WHERE o.id = %(id)s

-- name: resume
-- A parked order goes on, unless somebody is asking for it at this moment. Who held it before is fenced off. It stands
-- there as never sent, so that the next sweep sends it where `sent` does not follow.
UPDATE orders SET
    parked_at = NULL, crashes = 0, lease_until = NULL, next_try_at = NULL, claim_token = claim_token + 1,
    enqueued_at = last_update
WHERE id = %(id)s AND outcome IS NULL AND parked_at IS NOT NULL
  AND (lease_until IS NULL OR lease_until <= engine_now())
RETURNING 1

-- name: sent
-- Resumed orders whose message the queue took, and that nobody has gone on with yet.
UPDATE orders SET enqueued_at = engine_now() WHERE id = ANY(%(ids)s) AND outcome IS NULL AND enqueued_at = last_update

-- name: repeat
-- A new order on the terms of a failed one. The unique key decides between several.
WITH accepted AS (
    INSERT INTO orders (id, payload, status, created_at, last_update, account, type, last_seq, enqueued_at, repeat_of,
        expires_at)
    SELECT %(id)s, payload, 'pending', %(ts)s, %(ts)s, account, type, 1, engine_now(), id, expires_at
    FROM orders WHERE id = %(repeat_of)s AND outcome = 'failed'
    ON CONFLICT DO NOTHING
    RETURNING id
)
INSERT INTO order_events (order_id, seq, status, meta, ts)
SELECT id, 1, 'pending', %(meta)s, %(ts)s FROM accepted
