-- Accounts: the keys that stand for them, what they own, and the limits that they are held to. What there was before
-- belongs to "default". Until the new release runs, the release before answers 503 to a post with an Idempotency-Key.
-- depends: 0013_pools

-- Pages of an account's orders are read in the order of one of these: of all, of those that ended so, or live ('').
CREATE INDEX orders_account ON orders (account, id);
-- By an expression, so that no index of all accounts' orders serves who asks for one account's.
CREATE INDEX orders_account_outcome ON orders (coalesce(outcome, ''), account, id);

-- The client's own name for the order.
ALTER TABLE orders ADD COLUMN client_order_id text;
-- Not checked for the rows of before, which have none.
ALTER TABLE orders ADD CONSTRAINT client_order_id_is_bounded
    CHECK (octet_length(client_order_id) BETWEEN 1 AND 64) NOT VALID;
CREATE UNIQUE INDEX orders_client_order_id ON orders (account, client_order_id) WHERE client_order_id IS NOT NULL;

ALTER TABLE idempotency_keys ADD COLUMN account text NOT NULL DEFAULT 'default';
ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_pkey;
ALTER TABLE idempotency_keys ADD PRIMARY KEY (account, key);

ALTER TABLE connections ADD COLUMN account text NOT NULL DEFAULT 'default';
-- The API key that opened the socket, itself or by a ticket; NULL where none was asked for.
ALTER TABLE connections ADD COLUMN key_prefix text;
CREATE INDEX connections_account ON connections (account);

CREATE TABLE api_keys (
    prefix     text PRIMARY KEY,
    -- SHA-256 of the secret, which is random and long: nothing slower is needed.
    digest     bytea NOT NULL,
    account    text NOT NULL,
    label      text NOT NULL,
    created_at timestamptz NOT NULL,
    -- Kept after that, for the sake of key_uses.
    revoked_at timestamptz
);

-- What became of those who gave a key, a row a day: at least so many, since a container that ends takes along what it
-- has not written.
CREATE TABLE key_uses (
    prefix          text NOT NULL,
    day             date NOT NULL,
    uses            bigint NOT NULL,
    refusals        bigint NOT NULL,
    last_use_at     timestamptz,
    last_refusal_at timestamptz,
    last_refusal    text,
    PRIMARY KEY (prefix, day)
) WITH (fillfactor = 60);

-- What a browser opens a socket with, once.
CREATE TABLE stream_tickets (
    -- SHA-256 of the ticket.
    digest     bytea PRIMARY KEY,
    account    text NOT NULL,
    key_prefix text,
    expires_at timestamptz NOT NULL
);
CREATE INDEX stream_tickets_expiry ON stream_tickets (expires_at);

-- The bucket of tokens of each account that posts, and its room for orders that live.
CREATE TABLE account_limits (
    account text PRIMARY KEY,
    -- When the bucket is full again: a token taken puts it off.
    full_at timestamptz NOT NULL,
    -- So many orders may follow before those that live are counted again; -1 where there was no room.
    room    int NOT NULL,
    -- When a count last found no room.
    crowded_at timestamptz
) WITH (fillfactor = 50);
