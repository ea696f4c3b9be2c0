// Command crema serves a small shop or app: static site, functions, records and payments.
package main

import (
	"os"

	"crema/lambdas"
	"crema/server/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], lambdas.All()))
}
