-- name: pairs
-- The pairs that resting orders watch, and the terms of one of each. Steps from pair to pair: the cost follows the
-- pairs, not the orders.
WITH RECURSIVE pairs AS (
    (SELECT watch_in, watch_out, id FROM orders WHERE watch_price IS NOT NULL ORDER BY watch_in, watch_out LIMIT 1)
    UNION ALL
    SELECT n.* FROM pairs p CROSS JOIN LATERAL (
        SELECT watch_in, watch_out, id FROM orders
        WHERE watch_price IS NOT NULL AND (watch_in, watch_out) > (p.watch_in, p.watch_out)
        ORDER BY watch_in, watch_out LIMIT 1
    ) n
)
SELECT (SELECT payload::text FROM orders WHERE id = pairs.id) FROM pairs

-- name: waiting
-- Open orders that may be moved now.
status = 'open' AND (next_try_at IS NULL OR next_try_at <= engine_now()) AND (expires_at IS NULL OR expires_at > engine_now())

-- name: fired
-- Whether the reference price of an order's pair is one that it waits for.
((watch_rising AND watch_price <= %(reference)s) OR (NOT watch_rising AND watch_price >= %(reference)s))

-- name: trigger
-- Orders of a pair that its reference price fires go to work, each once however many ask for it: what decides is the row
-- as it is once its lock was waited for.
WITH crossed AS (
    (SELECT id FROM orders WHERE watch_in = %(mint_in)s AND watch_out = %(mint_out)s AND watch_rising
         AND watch_price <= %(reference)s AND :waiting ORDER BY watch_price LIMIT %(most)s)
    UNION ALL
    (SELECT id FROM orders WHERE watch_in = %(mint_in)s AND watch_out = %(mint_out)s AND NOT watch_rising
         AND watch_price >= %(reference)s AND :waiting ORDER BY watch_price DESC LIMIT %(most)s)
), locked AS (
    SELECT id FROM orders WHERE id = ANY(ARRAY(SELECT id FROM crossed)) AND :waiting AND :fired ORDER BY id FOR UPDATE
), moved AS (
    UPDATE orders o SET
        status = 'pending', last_seq = o.last_seq + 1, last_update = greatest(engine_now(), o.last_update),
        enqueued_at = engine_now(), next_try_at = NULL
    WHERE id = ANY(ARRAY(SELECT id FROM locked))
    RETURNING o.id, o.last_seq, o.last_update, o.watch_price, o.watch_rising
)
INSERT INTO order_events (order_id, seq, status, meta, ts)
SELECT id, last_seq, 'pending', json_build_object(
           'triggered', true, 'referencePrice', trim_scale(%(reference)s)::text,
           CASE WHEN watch_rising THEN 'atLeast' ELSE 'atMost' END, trim_scale(watch_price)::text),
       last_update
FROM moved RETURNING order_id

-- name: ended
-- An order ends without its holder, who is fenced off.
status = %(status)s, outcome = %(status)s, failure_reason = %(reason)s, last_seq = o.last_seq + 1,
last_update = greatest(engine_now(), o.last_update), claim_token = o.claim_token + 1, lease_until = NULL,
watch_price = NULL

-- name: endings
INSERT INTO order_events (order_id, seq, status, meta, ts)
SELECT id, last_seq, %(status)s, json_build_object('reason', %(reason)s::text), last_update
FROM moved

-- name: expire
WITH late AS (
    SELECT id FROM orders WHERE outcome IS NULL AND expires_at <= engine_now() AND open_tx IS NULL
    ORDER BY expires_at LIMIT %(most)s FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE orders o SET :ended WHERE id = ANY(ARRAY(SELECT id FROM late)) RETURNING o.id, o.last_seq, o.last_update
)
:endings RETURNING order_id

-- name: cancel
-- Ends an order, unless a transaction of it is unresolved: then the wish is noted, and whoever asked for the transaction
-- without knowing of it is fenced off. Everything is decided on the row as it is after its lock was waited for.
WITH locked AS (
    SELECT id, status, outcome, open_tx, cancel_requested_at FROM orders WHERE id = %(id)s AND account = %(account)s
    FOR UPDATE
), moved AS (
    UPDATE orders o SET :ended FROM locked l
    WHERE o.id = %(id)s AND l.outcome IS NULL AND l.open_tx IS NULL
    RETURNING o.id, o.last_seq, o.last_update
), logged AS (
    :endings
), requested AS (
    UPDATE orders o SET
        cancel_requested_at = engine_now(), claim_token = o.claim_token + 1, lease_until = NULL, next_try_at = NULL
    FROM locked l
    WHERE o.id = %(id)s AND l.open_tx IS NOT NULL AND l.cancel_requested_at IS NULL
    RETURNING o.id
)
SELECT CASE WHEN EXISTS (SELECT FROM moved) THEN 'cancelled'
            WHEN outcome IS NULL THEN 'requested' ELSE 'terminal' END,
       CASE WHEN EXISTS (SELECT FROM moved) THEN 'cancelled' ELSE coalesce(outcome, status) END,
       EXISTS (SELECT FROM requested)
FROM locked

-- name: amend
-- An open order gets other terms, if it is still as its client saw it.
WITH moved AS (
    UPDATE orders o SET
        payload = %(payload)s, expires_at = %(expires_at)s, watch_rising = %(rising)s, watch_price = %(price)s,
        -- A new price is waited for at once; the next run comes up when it did.
        next_try_at = CASE WHEN o.watch_price IS NULL THEN o.next_try_at END,
        last_seq = o.last_seq + 1, last_update = greatest(engine_now(), o.last_update)
    WHERE id = %(id)s AND status = 'open' AND last_seq = %(seq)s
      AND (expires_at IS NULL OR expires_at > engine_now())
    RETURNING o.id, o.last_seq, o.last_update
)
INSERT INTO order_events (order_id, seq, status, meta, ts)
SELECT id, last_seq, 'open', %(meta)s, last_update FROM moved RETURNING seq

-- name: due_runs
-- Orders that run repeatedly and whose next run has come up, by how many seconds it is late, and whether one before is on
-- its way: since runs never overlap, that can only be the one that was placed last. Those whose last run has come up, and
-- that have no time for a next one, come once it has ended.
SELECT o.id, o.last_seq, o.payload::text, o.runs,
       coalesce(extract(epoch FROM engine_now() - o.next_try_at), 0)::float8, r.busy
FROM orders o CROSS JOIN LATERAL (
    SELECT coalesce((SELECT c.outcome IS NULL FROM orders c WHERE c.parent_id = o.id ORDER BY c.run DESC LIMIT 1), false)
        AS busy
) r
WHERE o.outcome IS NULL AND o.type = 'recurring' AND o.status = 'open'
  AND CASE WHEN o.next_try_at IS NULL THEN NOT r.busy ELSE o.next_try_at <= engine_now() END
  AND (o.expires_at IS NULL OR o.expires_at > engine_now())
ORDER BY o.next_try_at NULLS FIRST, o.id LIMIT %(most)s

-- name: run
-- A run of such an order, or the skipping of some: each once, whoever comes with it, and on terms as they are.
WITH moved AS (
    UPDATE orders o SET
        runs = %(through)s, skipped = o.skipped + %(skipped)s,
        next_try_at = CASE WHEN NOT %(last)s THEN
            o.next_try_at + (%(through)s - o.runs) * %(every)s * interval '1 second' END,
        last_seq = o.last_seq + 1, last_update = greatest(engine_now(), o.last_update)
    WHERE id = %(id)s AND status = 'open' AND last_seq = %(seq)s AND (expires_at IS NULL OR expires_at > engine_now())
    RETURNING o.id, o.account, o.last_seq, o.last_update
), child AS (
    INSERT INTO orders (id, payload, status, created_at, last_update, account, type, last_seq, enqueued_at, parent_id, run)
    SELECT %(child)s::uuid, %(payload)s, 'pending', last_update, last_update, account, 'market', 1, engine_now(), id, %(through)s
    FROM moved WHERE %(child)s::uuid IS NOT NULL
    RETURNING id, created_at
)
INSERT INTO order_events (order_id, seq, status, meta, ts)
SELECT id, last_seq, 'open', %(meta)s::json, last_update FROM moved
UNION ALL
SELECT id, 1, 'pending', %(first)s::json, created_at FROM child
RETURNING order_id

-- name: finish_runs
-- The last run has come up, and none is on its way any more.
WITH moved AS (
    UPDATE orders o SET
        status = 'confirmed', outcome = 'confirmed', last_seq = o.last_seq + 1,
        last_update = greatest(engine_now(), o.last_update), claim_token = o.claim_token + 1
    WHERE id = %(id)s AND status = 'open' AND runs = %(runs)s
    RETURNING o.id, o.skipped, o.last_seq, o.last_update
)
INSERT INTO order_events (order_id, seq, status, meta, ts)
SELECT id, last_seq, 'confirmed', json_build_object(
           'filled', (SELECT count(*) FROM orders c WHERE c.parent_id = moved.id AND c.outcome = 'confirmed'),
           'failed', (SELECT count(*) FROM orders c WHERE c.parent_id = moved.id AND c.outcome <> 'confirmed'),
           'skipped', skipped),
       last_update
FROM moved RETURNING order_id
