-- Orders placed anew for ones that failed, and what an operator looks orders up by.
-- depends: 0005_idempotency_keys

-- The order that this one repeats. An order is repeated once; a repeat that failed can be repeated itself.
ALTER TABLE orders ADD COLUMN repeat_of uuid;
CREATE UNIQUE INDEX orders_repeat_of ON orders (repeat_of) WHERE repeat_of IS NOT NULL;

CREATE INDEX submissions_order ON submissions (order_id);
