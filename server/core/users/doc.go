// Package users knows who can act. So far it makes the account rows that the master key acts as and
// reads roles; sign-up, log-in and tokens come later.
//
// Way in: Service.Ensure, Service.Roles. Tables: app._auth, app._auth_role.
package users
