#!/usr/bin/env bash
# Breaks each promise of the payments once, in a copy of the repository, and sees whether the tests
# notice. Arguments go to the program: -only key
set -euo pipefail
cd "$(dirname "$0")/.."
exec go run ./server/testkit/cmd/withpg go run ./server/e2e/mutations "$@"
