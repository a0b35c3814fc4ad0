-- Look-ups by key stay look-ups, however small the tables were when a session planned them.
-- depends: 0009_planner

DO $$
BEGIN
    -- A session keeps the plan of a prepared statement. One that reads a table of ten rows reads it whole at a million.
    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET enable_seqscan = off', current_user, current_database());
END
$$;

-- What the sweep deletes.
CREATE INDEX connections_expiry ON connections (expires_at);

-- An order that ends leaves a dead entry in the index of the living, which whoever looks for them must step over until
-- the next vacuum. By default that comes only once as many as a fifth of all orders ever stored have ended.
ALTER TABLE orders SET (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0.02);
