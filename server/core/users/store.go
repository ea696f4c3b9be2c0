package users

const insertAccount = `INSERT INTO app._auth (id) VALUES ($1) ON CONFLICT (id) DO NOTHING`

const selectRoles = `SELECT role_id FROM app._auth_role WHERE auth_id = $1 ORDER BY role_id COLLATE "C"`
