// Package operators knows who may deploy: accounts with a password, the tokens that they have logged in for
// or made, and the master key.
//
// Way in: New, Service.Who, Service.LogIn, Service.Add.
//
// Tables: _operator, _operator_token, _operator_failure.
//
// Invariants:
//   - Passwords are stored with bcrypt and tokens as SHA-256: nobody can read either.
//   - Refused log-ins are counted by account, by address and by both, over all servers.
//   - A removed operator's tokens end at once.
package operators
