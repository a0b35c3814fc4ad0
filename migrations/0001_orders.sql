-- Orders, their event log, and the transactions sent for them.
-- depends:

-- The engine's one source of time for leases, due times and validity. STABLE, so that index scans stay possible.
CREATE FUNCTION engine_now() RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN statement_timestamp();

CREATE TABLE orders (
    id             uuid PRIMARY KEY,
    payload        jsonb NOT NULL,
    status         text NOT NULL,
    created_at     timestamptz NOT NULL,
    last_update    timestamptz NOT NULL,
    attempts       int NOT NULL DEFAULT 0,
    failure_reason text,
    tx_hash        text,
    account        text NOT NULL,
    type           text NOT NULL,
    -- The terminal status, written once; NULL while the order lives.
    outcome        text,
    claim_token    bigint NOT NULL DEFAULT 0,
    -- Who claimed last: the same claimant may repeat a claim whose reply was lost.
    claimant       uuid,
    -- Claims in a row that ended by an expired lease.
    crashes        int NOT NULL DEFAULT 0,
    last_seq       int NOT NULL,
    -- Set while a claim is held; a claim that ended leaves NULL, a crash leaves the past.
    lease_until    timestamptz,
    -- The unresolved transaction's id.
    open_tx        text,
    next_try_at    timestamptz,
    -- When the order's id was last sent to the queue.
    enqueued_at    timestamptz NOT NULL,
    parked_at      timestamptz,
    CONSTRAINT unresolved_means_submitted CHECK (open_tx IS NULL OR status = 'submitted'),
    CONSTRAINT parked_means_unresolved CHECK (parked_at IS NULL OR open_tx IS NOT NULL),
    CONSTRAINT outcome_is_terminal CHECK (outcome IS NULL OR outcome = status),
    CONSTRAINT status_is_known CHECK (status IN ('pending', 'routing', 'building', 'submitted', 'confirmed', 'failed'))
) WITH (fillfactor = 60);

-- No index, nor a predicate of one, names a column that transitions write: updates stay heap-only.
CREATE INDEX orders_live ON orders (id) WHERE outcome IS NULL;
CREATE INDEX orders_ended ON orders (outcome, id) WHERE outcome IS NOT NULL;

CREATE TABLE order_events (
    order_id uuid NOT NULL,
    seq      int NOT NULL,
    status   text NOT NULL,
    meta     json NOT NULL,
    ts       timestamptz NOT NULL,
    PRIMARY KEY (order_id, seq)
);

CREATE TABLE submissions (
    tx_id       text PRIMARY KEY,
    order_id    uuid NOT NULL,
    attempt     int NOT NULL,
    venue       text NOT NULL,
    amount_in   numeric NOT NULL,
    min_amount_out numeric NOT NULL,
    written_at  timestamptz NOT NULL,
    valid_until timestamptz NOT NULL,
    -- succeeded, reverted or dead; NULL while unresolved.
    outcome     text
);
