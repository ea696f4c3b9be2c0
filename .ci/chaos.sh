#!/usr/bin/env bash
# The kill tests at full length. First deploys and timers, some 15 minutes: servers are killed while they serve and deploy, and
# 1,000 deploys must leave nothing behind. Then payments, 20 to 40 minutes: the server is killed at every point, and no payment is
# doubled or lost. With the argument "deploys" the first alone; other arguments go to the second alone:
# -seed 7 -payments 500 -kills 20 -short
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -eq 0 ] || [ "$1" = deploys ]; then
  CREMA_CHAOS=${CREMA_CHAOS:-5m} CREMA_DEPLOYS=${CREMA_DEPLOYS:-1000} CREMA_TABLE="$PWD/server/docs/bench-deploys.md" \
    go test ./server/e2e -count=1 -parallel 1 -timeout 2h -v -run 'TestServers_KilledUnderLoad|TestDeploy_KilledAtEachStep|TestDeploy_ManyLeaveNothing'
fi
if [ "${1:-}" != deploys ]; then
  exec go run ./server/e2e/chaos "$@"
fi
