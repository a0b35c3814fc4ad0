-- name: order
INSERT INTO orders (id, payload, status, created_at, last_update, account, client_order_id, type, last_seq, enqueued_at,
                    expires_at)
SELECT %(id)s, %(payload)s, 'pending', %(ts)s, %(ts)s, %(account)s, %(client_order_id)s, %(type)s, 1, engine_now(),
       %(expires_at)s

-- name: event
INSERT INTO order_events (order_id, seq, status, meta, ts)
SELECT id, 1, 'pending', %(meta)s, %(ts)s FROM accepted

-- name: accept
-- An order and its first event; run twice, it leaves one. Another one under the client's name for it is an error.
WITH accepted AS (
    :order
    ON CONFLICT (id) DO NOTHING
    RETURNING id
)
:event

-- name: key
INSERT INTO idempotency_keys AS k (account, key, order_id, digest, expires_at)
SELECT %(account)s, %(key)s, %(id)s, %(digest)s, engine_now() + %(lifetime)s * interval '1 second'

-- name: unlesskept
-- Not DO NOTHING: who waited for another's row does not see it in its snapshot, while an UPDATE returns its latest
-- version, which it leaves as it is unless the key has expired.
ON CONFLICT (account, key) DO UPDATE SET
    order_id = CASE WHEN k.expires_at <= engine_now() THEN excluded.order_id ELSE k.order_id END,
    digest = CASE WHEN k.expires_at <= engine_now() THEN excluded.digest ELSE k.digest END,
    expires_at = CASE WHEN k.expires_at <= engine_now() THEN excluded.expires_at ELSE k.expires_at END
RETURNING order_id, digest

-- name: holder
-- An order that is not in the snapshot was stored just now. A message too many does no harm; enqueued_at stays, since a
-- re-send that the queue refuses must not put off the sweep.
order_id, digest = %(digest)s,
coalesce((SELECT status = 'pending' AND claim_token = 0 FROM orders WHERE id = held.order_id), true)

-- name: accept_keyed
-- The same for whoever gets the key; tells the others whose it is. Run twice, it leaves one order and one answer.
WITH held AS (
    :key
    :unlesskept
), accepted AS (
    :order
    FROM held WHERE order_id = %(id)s
    ON CONFLICT (id) DO NOTHING
    RETURNING id
), logged AS (
    :event
)
SELECT :holder FROM held

-- name: kept
-- What the holder of a key is, to a post that would not be accepted by now.
SELECT :holder FROM idempotency_keys AS held
WHERE account = %(account)s AND key = %(key)s AND expires_at > engine_now()

-- name: token
-- A token of the account's bucket, and room among its living orders.
INSERT INTO account_limits AS l (account, full_at, room)
SELECT %(account)s, engine_now() + %(gap)s, 0

-- name: ifany
-- No row from an empty bucket, and a row without room, -1, where too many live. Those are counted only when as many have
-- been placed as there was room for then, and once a second where there is none: an order costs no count, nor does a
-- refusal. Those under way meanwhile may come on top.
ON CONFLICT (account) DO UPDATE SET (full_at, room, crowded_at) = (
    SELECT greatest(l.full_at, engine_now()) + %(gap)s, found.room - 1,
           CASE WHEN found.room > 0 OR found.recent THEN l.crowded_at ELSE engine_now() END
    FROM (
        SELECT recent, CASE WHEN l.room > 0 THEN least(l.room, %(most_open)s) WHEN recent THEN 0 ELSE %(most_open)s - (
            SELECT count(*) FROM (
                SELECT FROM orders WHERE coalesce(outcome, '') = '' AND account = %(account)s LIMIT %(most_open)s
            ) living) END AS room
        FROM (SELECT coalesce(l.crowded_at > engine_now() - interval '1 second', false) AS recent) crowded
        -- Counted once, not for each use.
        OFFSET 0
    ) found
)
WHERE greatest(l.full_at, engine_now()) <= engine_now() + %(slack)s
RETURNING room

-- name: wait
-- Whole seconds until the bucket has a token again.
coalesce((SELECT greatest(1, ceil(extract(epoch FROM full_at - engine_now() - %(slack)s)))::int
          FROM account_limits WHERE account = %(account)s), 1)

-- name: accept_limited
-- The order of an account that is held to limits; says what was left of them.
WITH token AS (
    :token
    :ifany
), accepted AS (
    :order
    FROM token WHERE room >= 0
    ON CONFLICT (id) DO NOTHING
    RETURNING id
), logged AS (
    :event
)
SELECT EXISTS (SELECT FROM token WHERE room >= 0), (SELECT room FROM token), :wait

-- name: accept_keyed_limited
-- The same for whoever gets the key, or finds it held: that costs nothing.
WITH known AS (
    SELECT FROM idempotency_keys WHERE account = %(account)s AND key = %(key)s AND expires_at > engine_now()
), token AS (
    :token WHERE NOT EXISTS (SELECT FROM known)
    :ifany
), held AS (
    :key WHERE EXISTS (SELECT FROM known) OR EXISTS (SELECT FROM token WHERE room >= 0)
    :unlesskept
), accepted AS (
    :order
    FROM held WHERE order_id = %(id)s
    ON CONFLICT (id) DO NOTHING
    RETURNING id
), logged AS (
    :event
)
SELECT order_id IS NOT NULL, (SELECT room FROM token), :wait, :holder FROM (SELECT) one LEFT JOIN held ON true

-- name: named
-- The order that an account gave a name.
SELECT id FROM orders WHERE account = %(account)s AND client_order_id = %(client_order_id)s

-- name: record
id, payload::text, status, created_at, last_update, attempts, failure_reason, tx_hash, repeat_of, last_seq,
client_order_id

-- name: show
SELECT :record,
       (SELECT coalesce(json_agg(json_build_array(
                    seq, status, meta, to_char(ts AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) ORDER BY seq), '[]')::text
        FROM order_events WHERE order_id = orders.id)
FROM orders WHERE id = %(id)s AND account = %(account)s

-- name: page
-- An account's orders before one, newest first. Neither compared nor sorted by id alone, for whose index a planner that
-- has only seen one account may read the orders of all.
(account, id) < (%(account)s, %(before)s) AND account >= %(account)s ORDER BY account DESC, id DESC LIMIT %(limit)s

-- name: find
SELECT :record, NULL FROM orders WHERE id = %(id)s AND account = %(account)s

-- name: newest
SELECT :record, NULL FROM orders WHERE :page

-- name: newest_living
SELECT :record, NULL FROM orders WHERE coalesce(outcome, '') = '' AND status = %(status)s AND :page

-- name: newest_ended
SELECT :record, NULL FROM orders WHERE coalesce(outcome, '') = %(status)s AND :page

-- name: newest_named
SELECT :record, NULL FROM orders
WHERE id = (:named) AND id < %(before)s AND (%(status)s::text IS NULL OR status = %(status)s)

-- name: living
-- An account's orders that have not ended, by what they are.
SELECT :record, NULL FROM orders
WHERE coalesce(outcome, '') = ''
  AND (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(type)s::text IS NULL OR type = %(type)s)
  AND (%(client_order_id)s::text IS NULL OR client_order_id = %(client_order_id)s)
  AND (%(token_in)s::text IS NULL
       OR %(token_in)s IN (payload->'tokenIn'->>'mint', upper(payload->'tokenIn'->>'name'), payload->'tokenIn'->>'name'))
  AND (%(token_out)s::text IS NULL
       OR %(token_out)s IN (payload->'tokenOut'->>'mint', upper(payload->'tokenOut'->>'name'), payload->'tokenOut'->>'name'))
  AND :page

-- name: claim
-- Takes each order that may be taken; the verdict says why another was refused. Everything is decided on the row as
-- it is after its lock was waited for: `locked` reads the latest version, and nothing else is read to decide.
WITH locked AS (
    SELECT id, status, outcome, parked_at, lease_until, next_try_at, open_tx, claimant,
           crashes + (coalesce(lease_until <= engine_now(), false))::int AS counted
    FROM orders WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE
), judged AS (
    SELECT *, CASE
        WHEN outcome IS NOT NULL THEN 'terminal'
        WHEN status = 'open' THEN 'resting'
        WHEN parked_at IS NOT NULL AND NOT %(last_resort)s THEN 'parked'
        WHEN lease_until > engine_now() AND claimant IS DISTINCT FROM %(claimant)s THEN 'leased'
        WHEN next_try_at > engine_now() THEN 'early'
        WHEN counted >= %(max_crashes)s AND NOT %(last_resort)s THEN 'exhausted'
        WHEN counted > 0 AND NOT %(alone)s THEN 'suspect'
        ELSE 'claimed' END AS verdict
    FROM locked
), touched AS (
    UPDATE orders o SET
        crashes = j.counted,
        claim_token = o.claim_token + (j.verdict = 'claimed')::int,
        claimant = %(claimant)s,
        lease_until = CASE WHEN j.verdict = 'claimed' THEN engine_now() + %(lease)s * interval '1 second' END
    FROM judged j
    -- By the array too, here and below: joined to the rows alone, a planner that knows little reads all orders instead.
    WHERE o.id = ANY(%(ids)s) AND o.id = j.id AND j.verdict IN ('claimed', 'suspect', 'exhausted')
    RETURNING o.id, o.claim_token, o.payload::text AS payload, o.status, o.attempts, o.last_seq, o.last_update, o.bound,
              o.cancel_requested_at, o.expires_at
)
SELECT j.id, j.verdict, j.counted, j.open_tx,
       greatest(0, ceil(extract(epoch FROM
           (CASE j.verdict WHEN 'leased' THEN j.lease_until ELSE j.next_try_at END) - engine_now())))::int AS wait,
       t.claim_token, t.payload, t.status, t.attempts, t.last_seq,
       t.last_update,
       -- Of a new order the row itself tells as much; of one that has rested often, the last events tell how it came here.
       CASE WHEN t.last_seq > 1 THEN
           (SELECT json_agg(json_build_array(e.status, (extract(epoch FROM e.ts) * 1000)::bigint) ORDER BY e.seq)::text
            FROM order_events e WHERE e.order_id = t.id AND e.seq > t.last_seq - 50) END,
       j.parked_at IS NOT NULL, t.bound,
       CASE WHEN t.cancel_requested_at IS NOT NULL THEN 'cancelled' WHEN t.expires_at <= engine_now() THEN 'expired' END
FROM judged j LEFT JOIN touched t USING (id)

-- name: give_back
UPDATE orders o SET lease_until = NULL
FROM unnest(%(ids)s::uuid[], %(tokens)s::bigint[]) AS held(id, token)
WHERE o.id = ANY(%(ids)s) AND o.id = held.id AND o.claim_token = held.token AND o.outcome IS NULL

-- name: submission
-- The unresolved transaction of a claimed order: until when it can land, and for how long it has been past that.
SELECT valid_until, extract(epoch FROM engine_now() - valid_until)::float8
FROM submissions WHERE tx_id = %(tx_id)s

-- name: write_transitions
-- What holders did since the last flush: the orders' new state, their events, submissions and outcomes, in one
-- statement that touches only orders still held under the same claim at the same seq.
WITH input AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(entries)s::json) AS i(
        order_id uuid, claim_token bigint, base_seq int, last_seq int, status text, last_update timestamptz,
        attempts int, failure_reason text, tx_hash text, open_tx text, outcome text,
        released boolean, crashes int, next_try_ms int, parked boolean, events json, submission json, resolved json,
        watch json)
), moved AS (
    UPDATE orders o SET
        last_seq = i.last_seq, status = i.status, last_update = i.last_update, attempts = i.attempts,
        failure_reason = i.failure_reason, tx_hash = i.tx_hash, open_tx = i.open_tx, outcome = i.outcome,
        bound = coalesce(o.bound, (i.submission->>'bound')::numeric),
        lease_until = CASE WHEN NOT i.released THEN o.lease_until END,
        next_try_at = engine_now() + i.next_try_ms * interval '1 millisecond',
        enqueued_at = CASE WHEN i.released THEN engine_now() ELSE o.enqueued_at END,
        parked_at = CASE WHEN i.parked THEN coalesce(o.parked_at, engine_now()) END,
        crashes = CASE WHEN i.released THEN coalesce(i.crashes, 0) ELSE o.crashes END,
        watch_in = coalesce(i.watch->>'mint_in', o.watch_in), watch_out = coalesce(i.watch->>'mint_out', o.watch_out),
        watch_rising = coalesce((i.watch->>'rising')::boolean, o.watch_rising),
        watch_price = CASE WHEN i.outcome IS NULL THEN coalesce((i.watch->>'price')::numeric, o.watch_price) END
    FROM input i
    WHERE o.id = ANY(ARRAY(SELECT order_id FROM input))
      AND o.id = i.order_id AND o.claim_token = i.claim_token AND o.last_seq = i.base_seq AND o.outcome IS NULL
    RETURNING o.id, i.events, i.submission, i.resolved, o.expires_at
), logged AS (
    INSERT INTO order_events (order_id, seq, status, meta, ts)
    SELECT m.id, e.seq, e.status, e.meta, e.ts
    FROM moved m CROSS JOIN LATERAL json_to_recordset(m.events) AS e(seq int, status text, meta json, ts timestamptz)
), submitted AS (
    INSERT INTO submissions (tx_id, order_id, attempt, venue, amount_in, min_amount_out, written_at, valid_until)
    SELECT s.tx_id, m.id, s.attempt, s.venue, s.amount_in, s.min_amount_out, engine_now(),
           -- An expired order must not execute.
           least(engine_now() + s.valid_ms * interval '1 millisecond', m.expires_at)
    FROM moved m CROSS JOIN LATERAL json_to_record(m.submission) AS s(
        tx_id text, attempt int, venue text, amount_in numeric, min_amount_out numeric, valid_ms int)
    WHERE m.submission IS NOT NULL
    RETURNING order_id, valid_until
), resolved AS (
    UPDATE submissions s SET outcome = r.outcome
    FROM moved m CROSS JOIN LATERAL json_to_record(m.resolved) AS r(tx_id text, outcome text)
    WHERE s.tx_id = ANY(ARRAY(SELECT resolved->>'tx_id' FROM input)) AND s.tx_id = r.tx_id
)
SELECT m.id, s.valid_until FROM moved m LEFT JOIN submitted s ON s.order_id = m.id

-- name: ask_transitions
-- How far the orders of a flush are whose reply was lost.
SELECT id, claim_token, last_seq, (SELECT valid_until FROM submissions WHERE tx_id = open_tx)
FROM orders WHERE id = ANY(%(ids)s)

-- name: due
-- Orders that nobody is working on and whose id should be on the queue, but seems lost. The gap doubles with each
-- re-send: it is at least the time that passed from the last transition to the last send.
UPDATE orders o SET enqueued_at = engine_now()
WHERE id = ANY(ARRAY(
    SELECT id FROM orders
    WHERE outcome IS NULL AND parked_at IS NULL AND status <> 'open'
      AND (lease_until IS NULL OR lease_until <= engine_now())
      AND (next_try_at IS NULL OR next_try_at <= engine_now())
      AND enqueued_at <= engine_now()
          - greatest(%(gap)s * interval '1 second', least(enqueued_at - last_update, interval '1 hour'))
    ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
))
RETURNING id

-- name: due_parked
-- Parked orders whose transaction has not been asked for within the last hour, but for those that crash whoever asks.
UPDATE orders o SET enqueued_at = engine_now()
WHERE id = ANY(ARRAY(
    SELECT id FROM orders
    WHERE outcome IS NULL AND parked_at IS NOT NULL AND crashes < %(most_crashes)s
      AND enqueued_at <= engine_now() - interval '1 hour'
    ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
))
RETURNING id

-- name: unsent
-- The queue took no message for orders that `due` or `due_parked` marked: they stand there as never sent, so that the
-- next sweep finds them. One that was claimed in between gets a message too many.
UPDATE orders SET enqueued_at = last_update WHERE id = ANY(%(ids)s) AND outcome IS NULL

-- name: expire_keys
-- An array, since the planner would join so many rows by reading the whole table. A key that was taken over meanwhile has
-- another ctid.
DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM idempotency_keys WHERE expires_at <= engine_now()
    ORDER BY expires_at LIMIT %(most)s FOR UPDATE SKIP LOCKED
))

-- name: make_events
SELECT done, partition FROM engine_make_events(%(keep)s)

-- name: drop_events
SELECT done, partition FROM engine_drop_events(%(keep)s)

-- name: migration
SELECT coalesce(max(migration_id), 'none') FROM _yoyo_migration
