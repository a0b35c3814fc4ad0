-- Pools of the pool market: their accounts as they were read, and what fills have changed since.
-- depends: 0012_ordered_lists

CREATE TABLE pools (
    address  text PRIMARY KEY,
    venue    text NOT NULL,
    -- The mints of its tokens 0 and 1, and their decimals.
    mint_0   text NOT NULL,
    mint_1   text NOT NULL,
    decimals_0 smallint NOT NULL,
    decimals_1 smallint NOT NULL,
    -- Whether newer accounts replace these, and the fills with them; otherwise fills stay.
    live     boolean NOT NULL,
    -- Of the chain when the accounts were read, and engine_now() then.
    slot     bigint NOT NULL,
    read_at  timestamptz NOT NULL,
    accounts json NOT NULL,
    -- Counts sets of accounts and fills.
    version  bigint NOT NULL DEFAULT 1,
    state    json
) WITH (fillfactor = 60);

CREATE INDEX pools_mint_0 ON pools (mint_0, mint_1);

-- The least output that the order may get, or with a wanted output the most input that it may cost, in base units: as its
-- first write-ahead had it.
ALTER TABLE orders ADD COLUMN bound numeric;

-- Which pools a transaction of the pool market traded with, leg by leg.
ALTER TABLE simulated_swaps ADD COLUMN legs json;

-- Several transactions are filled by one statement or none of them is.
CREATE FUNCTION engine_all_or_none(filled bigint, wanted bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF filled NOT IN (0, wanted) THEN
        RAISE EXCEPTION 'only % of % transactions can be filled', filled, wanted;
    END IF;
    RETURN filled = wanted;
END $$;
