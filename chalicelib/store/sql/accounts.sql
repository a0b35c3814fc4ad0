-- name: key
-- A key by its prefix. Notes what became of those who gave it since it was last looked up, whoever gives it now among
-- them: `used` and `refused` of them, and why the last one was refused.
WITH found AS (
    SELECT prefix, account, digest, revoked_at IS NOT NULL AS revoked,
           CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN digest <> %(digest)s THEN 'wrong secret' END AS refusal
    FROM api_keys WHERE prefix = %(prefix)s
), noted AS (
    INSERT INTO key_uses AS u (prefix, day, uses, refusals, last_use_at, last_refusal_at, last_refusal)
    SELECT prefix, (engine_now() AT TIME ZONE 'UTC')::date,
           %(used)s + (refusal IS NULL)::int, %(refused)s + (refusal IS NOT NULL)::int,
           CASE WHEN refusal IS NULL OR %(used)s > 0 THEN engine_now() END,
           CASE WHEN refusal IS NOT NULL OR %(refused)s > 0 THEN engine_now() END, coalesce(refusal, %(reason)s)
    FROM found
    ON CONFLICT (prefix, day) DO UPDATE SET
        uses = u.uses + excluded.uses, refusals = u.refusals + excluded.refusals,
        last_use_at = coalesce(excluded.last_use_at, u.last_use_at),
        last_refusal_at = coalesce(excluded.last_refusal_at, u.last_refusal_at),
        last_refusal = coalesce(excluded.last_refusal, u.last_refusal)
)
SELECT account, digest, revoked FROM found

-- name: issue
-- A ticket for whoever gave a key that is not revoked, or none; run twice, it leaves one. Takes some expired ones away.
WITH gone AS (
    DELETE FROM stream_tickets WHERE digest = ANY(ARRAY(
        SELECT digest FROM stream_tickets WHERE expires_at <= engine_now()
        ORDER BY expires_at LIMIT %(most)s FOR UPDATE SKIP LOCKED
    ))
)
INSERT INTO stream_tickets AS t (digest, account, key_prefix, expires_at)
SELECT %(digest)s, %(account)s, %(key_prefix)s, engine_now() + %(lifetime)s * interval '1 second'
WHERE %(key_prefix)s::text IS NULL
   OR EXISTS (SELECT FROM api_keys WHERE prefix = %(key_prefix)s AND revoked_at IS NULL)
ON CONFLICT (digest) DO UPDATE SET expires_at = t.expires_at
RETURNING expires_at

-- name: create
INSERT INTO api_keys (prefix, digest, account, label, created_at)
VALUES (%(prefix)s, %(digest)s, %(account)s, %(label)s, engine_now())
ON CONFLICT (prefix) DO NOTHING

-- name: described
prefix, account, label, created_at, revoked_at

-- name: keys
-- Of all accounts where none is named, by account and age, with when each was last used.
SELECT :described, (SELECT max(last_use_at) FROM key_uses u WHERE u.prefix = k.prefix)
FROM api_keys k WHERE %(account)s::text IS NULL OR account = %(account)s
ORDER BY account, created_at LIMIT %(limit)s

-- name: one
SELECT :described, NULL FROM api_keys WHERE prefix = %(prefix)s

-- name: revoke
-- From here on nobody is let in by the key but where it was looked up a moment ago; its tickets are void, and its sockets
-- get nothing any more.
WITH revoked AS (
    UPDATE api_keys SET revoked_at = coalesce(revoked_at, engine_now()) WHERE prefix = %(prefix)s
    RETURNING prefix, account, label, created_at, revoked_at
), void AS (
    DELETE FROM stream_tickets t USING revoked r WHERE t.key_prefix = r.prefix
), closed AS (
    DELETE FROM connections c USING revoked r WHERE c.account = r.account AND c.key_prefix = r.prefix
)
SELECT :described, NULL FROM revoked

-- name: uses
-- The newest days first.
SELECT day, uses, refusals, last_use_at, last_refusal_at, last_refusal
FROM key_uses WHERE prefix = %(prefix)s ORDER BY day DESC LIMIT %(limit)s
