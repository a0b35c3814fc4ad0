-- name: land
-- A transaction arrives on the simulated chain. A tombstone under its id, or an arrival too late, leaves nothing.
INSERT INTO simulated_swaps
    (tx_id, order_id, outcome, venue, amount_in, amount_out, reason, sent_at, lands_at, valid_until)
SELECT %(tx_id)s, %(order_id)s, %(outcome)s, %(venue)s, %(amount_in)s, %(amount_out)s, %(reason)s,
       engine_now(), engine_now() + %(delay)s * interval '1 second', %(valid_until)s
WHERE engine_now() + %(delay)s * interval '1 second' <= %(valid_until)s
ON CONFLICT (tx_id) DO NOTHING

-- name: look
SELECT outcome, amount_in, amount_out, reason, venue,
       greatest(0, ceil(extract(epoch FROM lands_at - engine_now())))::int
FROM simulated_swaps WHERE tx_id = %(tx_id)s

-- name: tombstone
-- Decide that a transaction past its validity never lands. Whoever of it and the transaction comes first wins.
INSERT INTO simulated_swaps (tx_id, order_id, outcome, sent_at, lands_at, valid_until)
SELECT %(tx_id)s, %(order_id)s, 'dead', engine_now(), engine_now(), %(valid_until)s
WHERE engine_now() > %(valid_until)s
ON CONFLICT (tx_id) DO NOTHING
