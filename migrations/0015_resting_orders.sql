-- Orders that rest until a price, or expire; cancelling.
-- depends: 0014_accounts

ALTER TABLE orders DROP CONSTRAINT status_is_known;
ALTER TABLE orders ADD CONSTRAINT status_is_known CHECK (status IN
    ('pending', 'routing', 'building', 'submitted', 'confirmed', 'failed', 'open', 'cancelled', 'expired'));

-- From then on nothing is begun for the order, and no transaction of it is valid.
ALTER TABLE orders ADD COLUMN expires_at timestamptz;
-- Asked for while a transaction was unresolved: unless that succeeds, the order is cancelled.
ALTER TABLE orders ADD COLUMN cancel_requested_at timestamptz;

-- What an open order waits for: the reference price of a pair at least (rising) or at most so high. They stay while it is
-- on its way, and only its status says whether it waits. NULL in all that never rested or has ended, so that transitions
-- of market orders change no index.
ALTER TABLE orders ADD COLUMN watch_in text;
ALTER TABLE orders ADD COLUMN watch_out text;
ALTER TABLE orders ADD COLUMN watch_rising boolean;
ALTER TABLE orders ADD COLUMN watch_price numeric;

CREATE INDEX orders_watched ON orders (watch_in, watch_out, watch_rising, watch_price) WHERE watch_price IS NOT NULL;
CREATE INDEX orders_expiry ON orders (expires_at) WHERE outcome IS NULL AND expires_at IS NOT NULL;

-- Of an order that runs repeatedly: how many of its runs have come up, and how many of those were skipped.
ALTER TABLE orders ADD COLUMN runs int NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN skipped int NOT NULL DEFAULT 0;
-- Of one of its runs: the order, and which run it is.
ALTER TABLE orders ADD COLUMN parent_id uuid;
ALTER TABLE orders ADD COLUMN run int;
CREATE UNIQUE INDEX orders_runs ON orders (parent_id, run) WHERE parent_id IS NOT NULL;
CREATE INDEX orders_recurring ON orders (id) WHERE outcome IS NULL AND type = 'recurring';
