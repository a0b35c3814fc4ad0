-- Sockets and what they follow.
-- depends: 0001_orders

CREATE TABLE connections (
    id            text PRIMARY KEY,
    connected_at  timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    -- False until the gateway is known to deliver to the socket.
    open          boolean NOT NULL DEFAULT false,
    -- The bind that came with the connect, until it has been served.
    first_frame   text,
    -- No push before this moment, set when the gateway throttles or the socket is slow.
    not_before    timestamptz,
    push_failures int NOT NULL DEFAULT 0
);

CREATE TABLE subscriptions (
    connection_id text NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
    order_id      uuid NOT NULL,
    -- The last event pushed.
    last_seq      int NOT NULL,
    -- Grows with every bind, so that a push under way cannot move the cursor of a later bind.
    bind_no       int NOT NULL DEFAULT 1,
    lease_holder  uuid,
    lease_until   timestamptz,
    PRIMARY KEY (connection_id, order_id)
) WITH (fillfactor = 60);
CREATE INDEX subscriptions_order ON subscriptions (order_id);
