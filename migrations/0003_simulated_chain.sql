-- The simulated chain's own ledger: one row a transaction id, whatever became of it.
-- depends: 0002_streams

CREATE TABLE simulated_swaps (
    tx_id       text PRIMARY KEY,
    order_id    uuid NOT NULL,
    -- succeeded, reverted, or dead: a tombstone, decided before the transaction arrived.
    outcome     text NOT NULL,
    venue       text,
    amount_in   numeric,
    amount_out  numeric,
    reason      text,
    sent_at     timestamptz NOT NULL,
    lands_at    timestamptz NOT NULL,
    valid_until timestamptz NOT NULL
);
