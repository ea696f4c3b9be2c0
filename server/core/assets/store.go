package assets

// insertAwaited announces an asset.
const insertAwaited = `INSERT INTO app._asset (id, content_type, size, awaited_since) VALUES ($1, $2, $3, $4::timestamp)`

const selectTypes = `SELECT id, content_type FROM app._asset WHERE id = ANY($1::text[])`

const selectAsset = `SELECT content_type, coalesce(object, '') AS object, awaited_since IS NOT NULL AS awaited FROM app._asset WHERE id = $1`

// insertUnused notes an object before it is written.
const insertUnused = `INSERT INTO app._asset_unused (object, since) VALUES ($1, $2::timestamp)`

// giveObject makes the object $1 the asset's. Nothing happens when the bytes of the asset have come
// meanwhile, unless they may be replaced ($4), or when the object was given up. What it replaces is
// unused from now on.
const giveObject = `
	WITH old AS (
		SELECT id, object FROM app._asset WHERE id = $2 AND (awaited_since IS NOT NULL OR $4::boolean) FOR UPDATE
	), used AS (
		DELETE FROM app._asset_unused u USING old WHERE u.object = $1 RETURNING u.object
	), replaced AS (
		INSERT INTO app._asset_unused (object, since) SELECT old.object, $5::timestamp FROM old, used WHERE old.object IS NOT NULL
	)
	UPDATE app._asset a SET object = used.object, size = $3, awaited_since = NULL FROM old, used WHERE a.id = old.id`

// insertGiven makes an asset of an object.
const insertGiven = `
	WITH used AS (DELETE FROM app._asset_unused WHERE object = $1 RETURNING object)
	INSERT INTO app._asset (id, content_type, size, object) SELECT $2, $3, $4::bigint, used.object FROM used`

const selectUnused = `
	SELECT object FROM app._asset_unused u
	 WHERE since < $1::timestamp AND object > $2 AND NOT EXISTS (SELECT FROM app._asset a WHERE a.object = u.object)
	 ORDER BY object LIMIT 100`

const deleteUnused = `DELETE FROM app._asset_unused WHERE object = $1`

const selectGivenUp = `SELECT id FROM app._asset WHERE awaited_since < $1::timestamp AND id > $2 ORDER BY id LIMIT 100`

const deleteGivenUp = `DELETE FROM app._asset WHERE id = $1 AND awaited_since < $2::timestamp`

// selectOld lists assets whose bytes lie under their names.
const selectOld = `SELECT id FROM app._asset WHERE object IS NULL AND awaited_since IS NULL AND id > $1 ORDER BY id LIMIT 500`
