package relations

// statements are those of one relation. $1 is the actor.
type statements struct {
	pages  map[Direction]string
	counts map[Direction]string
	add    string // returns the users that exist
	remove string // returns the users whose pair was there
}

const (
	outward = `SELECT o.right_id AS id FROM TABLE o WHERE o.left_id = $1`
	inward  = `SELECT i.left_id AS id FROM TABLE i WHERE i.right_id = $1`
	mutual  = `SELECT o.right_id AS id FROM TABLE o
	JOIN TABLE i ON i.left_id = o.right_id AND i.right_id = o.left_id WHERE o.left_id = $1`

	// Users in one order for everybody, so that two who add the same ones do not wait for each other.
	insertPairs = `WITH known AS (SELECT id FROM app._auth WHERE id = ANY($2::text[])),
	made AS (INSERT INTO TABLE (left_id, right_id) SELECT $1, id FROM known ORDER BY id ON CONFLICT DO NOTHING)
	SELECT id FROM known`

	deletePairs = `DELETE FROM TABLE WHERE left_id = $1 AND right_id = ANY($2::text[]) RETURNING right_id`
)

func page(users string) string {
	return `SELECT id, count(*) OVER () AS total FROM (` + users + `) u ORDER BY id LIMIT $2::bigint OFFSET $3::bigint`
}

func count(users string) string { return `SELECT count(*) FROM (` + users + `) u` }
