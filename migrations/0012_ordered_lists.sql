-- A page of a list is read in the order of its index, from where it begins.
-- depends: 0011_event_rolling

DO $$
BEGIN
    -- Where a table has no statistics yet, the planner would rather collect all of an index' entries, dead ones included,
    -- and sort what is left.
    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET enable_bitmapscan = off', current_user, current_database());
END
$$;
