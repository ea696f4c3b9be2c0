// Package controller is the door of operators: what the command line of Skygear v1 (skycli 0.4.0 of npm) calls to
// log in, to deploy and to read logs, and what ours calls beside it.
//
// Everything stands below /v2/. Callers show a token in Authorization, as Token, JWT or Bearer; the master key is
// one. Errors are {"detail": message, "error": the error object of all doors}, in the forms that skycli can show.
// Wire: platform §1.4 and §1.5.
package controller
