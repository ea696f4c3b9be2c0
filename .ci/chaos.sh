#!/usr/bin/env bash
# The kill test at full length, 20 to 40 minutes: kills the server at every point and checks that no
# payment is doubled or lost. Arguments go to the program: -seed 7 -payments 500 -kills 20 -short
set -euo pipefail
cd "$(dirname "$0")/.."
exec go run ./server/e2e/chaos "$@"
