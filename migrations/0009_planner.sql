-- What the planner must know of the disk, as a setting of the role in this database.
-- depends: 0008_event_partitions

DO $$
BEGIN
    -- The default is for disks that turn. With it a lease reads all connections rather than look up those it needs.
    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET random_page_cost = %L', current_user, current_database(), '1.1');
END
$$;
