#!/usr/bin/env bash
# Runs the benchmarks on one throw-away PostgreSQL. Arguments go to go test: -bench Lambda
set -euo pipefail
cd "$(dirname "$0")/.."

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
go build -o "$tmp/withpg" ./server/testkit/cmd/withpg

# The table of ratios is a package of its own; before it exists, every benchmark runs.
packages=./server/...
if [ -d server/e2e/bench ]; then
  packages=./server/e2e/bench
fi
"$tmp/withpg" go test -run '^$' -bench . -timeout 30m "$@" "$packages"
