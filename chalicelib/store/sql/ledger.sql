-- name: land
-- Transactions arrive on the simulated chain. A tombstone under an id, or an arrival too late, leaves nothing.
INSERT INTO simulated_swaps
    (tx_id, order_id, outcome, venue, amount_in, amount_out, reason, sent_at, lands_at, valid_until)
SELECT tx_id, order_id, outcome, venue, amount_in, amount_out, reason,
       engine_now(), engine_now() + delay * interval '1 second', valid_until
FROM json_to_recordset(%(swaps)s::json) AS s(
    tx_id text, order_id uuid, outcome text, venue text, amount_in numeric, amount_out numeric, reason text,
    delay float8, valid_until timestamptz)
WHERE engine_now() + delay * interval '1 second' <= valid_until
-- Two containers that land the same transactions wait for each other in one direction only.
ORDER BY tx_id
ON CONFLICT (tx_id) DO NOTHING

-- name: look
SELECT tx_id, outcome, amount_in, amount_out, reason, venue,
       greatest(0, ceil(extract(epoch FROM lands_at - engine_now())))::int
FROM simulated_swaps WHERE tx_id = ANY(%(tx_ids)s)

-- name: tombstone
-- Decide that a transaction past its validity never lands. Whoever of it and the transaction comes first wins.
INSERT INTO simulated_swaps (tx_id, order_id, outcome, sent_at, lands_at, valid_until)
SELECT %(tx_id)s, %(order_id)s, 'dead', engine_now(), engine_now(), %(valid_until)s
WHERE engine_now() > %(valid_until)s
ON CONFLICT (tx_id) DO NOTHING

-- name: drop
-- Its sender gives a transaction up, which it could not try: what has its id already stays.
INSERT INTO simulated_swaps (tx_id, order_id, outcome, reason, sent_at, lands_at, valid_until)
SELECT %(tx_id)s, %(order_id)s, 'untried', 'its pools were in use, so it was not tried', engine_now(), engine_now(),
       %(valid_until)s
ON CONFLICT (tx_id) DO NOTHING
