-- Look-ups by key stay look-ups, however small the tables were when a session planned them.
-- depends: 0007_planner

DO $$
BEGIN
    -- A session keeps the plan of a prepared statement. One that reads a table of ten rows reads it whole at a million.
    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET enable_seqscan = off', current_user, current_database());
END
$$;

-- What the sweep deletes.
CREATE INDEX connections_expiry ON connections (expires_at);
