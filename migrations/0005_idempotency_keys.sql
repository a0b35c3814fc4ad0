-- The keys that clients post orders under, so that a post that is repeated finds the order it stored.
-- depends: 0004_timeouts

CREATE TABLE idempotency_keys (
    key        text PRIMARY KEY,
    order_id   uuid NOT NULL,
    -- Of the validated terms: tells the same order in another spelling from another order.
    digest     bytea NOT NULL,
    -- From here on the key is free for another order.
    expires_at timestamptz NOT NULL,
    CONSTRAINT key_is_bounded CHECK (octet_length(key) BETWEEN 1 AND 255)
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);
