-- name: between
-- The pools that trade some of these mints for each other: how old their accounts are, and what fills have changed.
SELECT address, slot, version, state::text, venue, mint_0, mint_1, live,
       extract(epoch FROM engine_now() - read_at)::float8
FROM pools WHERE mint_0 = ANY(%(mints)s) AND mint_1 = ANY(%(mints)s)
ORDER BY address

-- name: named
SELECT address, slot, version, state::text, venue, mint_0, mint_1, live,
       extract(epoch FROM engine_now() - read_at)::float8
FROM pools WHERE address = ANY(%(addresses)s) ORDER BY address

-- name: accounts
-- The same with the accounts that the state belongs to.
SELECT address, slot, version, state::text, venue, mint_0, mint_1, live,
       extract(epoch FROM engine_now() - read_at)::float8, accounts::text
FROM pools WHERE address = ANY(%(addresses)s) ORDER BY address

-- name: page
-- A source's pools by address: those of a directory are named, those of the chain are live.
SELECT address, slot, version, NULL, venue, mint_0, mint_1, live,
       extract(epoch FROM engine_now() - read_at)::float8
FROM pools
WHERE address > %(after)s AND live = (%(own)s::text[] IS NULL) AND (live OR address = ANY(%(own)s::text[]))
ORDER BY address LIMIT %(limit)s

-- name: mints
-- What a source's pools trade, and the decimals that the chain has for it.
WITH own AS (
    SELECT * FROM pools WHERE live = (%(own)s::text[] IS NULL) AND (live OR address = ANY(%(own)s::text[]))
)
SELECT mint_0, decimals_0 FROM own UNION SELECT mint_1, decimals_1 FROM own ORDER BY 1

-- name: now
SELECT engine_now()::text

-- name: keep
-- Store accounts that were read: of pools that are new, newer ones of live pools, whose fills go with the old, and those
-- of pools that have become live or have ceased to be.
WITH read AS (
    SELECT * FROM json_to_recordset(%(pools)s) AS r(
        address text, venue text, mint_0 text, mint_1 text, decimals_0 smallint, decimals_1 smallint, live boolean,
        slot bigint, read_at timestamptz, accounts json)
)
INSERT INTO pools AS p (address, venue, mint_0, mint_1, decimals_0, decimals_1, live, slot, read_at, accounts)
SELECT address, venue, mint_0, mint_1, decimals_0, decimals_1, live, slot, coalesce(read_at, engine_now()), accounts
FROM read r
-- What changes nothing should not lock a row and wait for it: each container stores its directory.
WHERE NOT EXISTS (
    SELECT FROM pools o WHERE o.address = r.address AND o.live = r.live AND (NOT o.live OR o.slot >= r.slot))
-- Two containers that store the same pools wait for each other in one direction only.
ORDER BY address
ON CONFLICT (address) DO UPDATE SET
    live = excluded.live, slot = excluded.slot, read_at = excluded.read_at, accounts = excluded.accounts,
    version = p.version + 1, state = NULL
WHERE p.live <> excluded.live OR (p.live AND p.slot < excluded.slot)

-- name: expire
-- Forget live pools that nobody has read for long: closed ones, ones that others are deeper than, ones that nobody wants.
-- No transaction that was computed from one can still land; where it is found again it begins anew.
DELETE FROM pools WHERE address = ANY(ARRAY(
    SELECT address FROM pools WHERE live AND read_at <= engine_now() - %(keep)s * interval '1 second'
    ORDER BY read_at LIMIT %(most)s FOR UPDATE SKIP LOCKED
))

-- name: unlocked
-- Those pools that no session holds at this moment.
SELECT address FROM pools WHERE address = ANY(%(addresses)s) ORDER BY address FOR UPDATE SKIP LOCKED

-- name: fill
-- Transactions trade with pools, all of them or none, and only if every pool that they looked at is still at the version
-- that they were computed from: a pool's row is locked, in the order of addresses, before it is compared. One that is
-- known already, or comes too late, cannot land.
WITH changed AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(pools)s) AS p(address text, version bigint, becomes bigint, state json)
), patience AS MATERIALIZED (
    -- Holders are done in milliseconds. Whoever waits here keeps its container's other statements waiting.
    SELECT set_config('lock_timeout', %(patience)s, true)
), locked AS MATERIALIZED (
    SELECT p.address, p.version FROM pools p
    WHERE p.address = ANY(ARRAY(SELECT address FROM changed CROSS JOIN patience)) ORDER BY p.address FOR UPDATE
), unchanged AS MATERIALIZED (
    SELECT (SELECT count(*) FROM changed JOIN locked USING (address, version)) = (SELECT count(*) FROM changed) AS holds
), landed AS (
    INSERT INTO simulated_swaps
        (tx_id, order_id, outcome, venue, amount_in, amount_out, reason, legs, sent_at, lands_at, valid_until)
    SELECT tx_id, order_id, outcome, venue, amount_in, amount_out, reason, legs,
           engine_now(), engine_now() + delay * interval '1 second', valid_until
    FROM json_to_recordset(%(swaps)s) AS s(
        tx_id text, order_id uuid, outcome text, venue text, amount_in numeric, amount_out numeric, reason text,
        legs json, delay float8, valid_until timestamptz)
    WHERE (SELECT holds FROM unchanged) AND engine_now() + delay * interval '1 second' <= valid_until
    ORDER BY tx_id
    ON CONFLICT (tx_id) DO NOTHING
    RETURNING tx_id
), filled AS MATERIALIZED (
    SELECT engine_all_or_none((SELECT count(*) FROM landed), %(wanted)s) AS holds
), moved AS (
    UPDATE pools p SET version = c.becomes, state = c.state
    FROM changed c WHERE p.address = c.address AND c.becomes > c.version AND (SELECT holds FROM filled)
)
SELECT f.holds, u.holds FROM filled f CROSS JOIN unchanged u
