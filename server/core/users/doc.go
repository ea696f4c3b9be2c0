// Package users knows who can act: accounts, what they log in with, their tokens and their roles.
//
// Way in: Service.SignUp, LogIn, LogOut, Me, ChangePassword, ResetPassword, Disable and the SSO methods
// answer with an Auth; Service.Session is what the gate asks for every request with a token; Ensure,
// CheckUser and RequireUser are its other questions. SetRoles, AssignRoles, RevokeRoles and RolesOf
// keep the roles. Start makes the constraints that log-in needs.
//
// Tables: app._auth, _auth_role, _role, _access_token, _login_failure, _password_history, _sso_oauth,
// _sso_custom_token. The user records belong to package records, which saves them in the transaction
// that makes the account.
//
// Invariants: tokens and passwords are stored as hashes only and never stand in an error or a log; a
// changed password ends all tokens of before, also those that are being issued right then; refused
// log-ins are counted in the database, so servers share them; passwords are hashed by few at a time;
// an account that nobody has takes as long to refuse as a wrong password. Wire: skygear §1.3, 2.2-2.5.
package users
