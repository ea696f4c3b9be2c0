#!/usr/bin/env bash
# Runs every Go test with the race detector, on one throw-away PostgreSQL, and closes with the
# numbers of passed and failed tests. Arguments replace the packages: .ci/test.sh ./server/core/...
set -euo pipefail
cd "$(dirname "$0")/.."

# Tests make and drop a thousand databases, and file systems of disks are slow at making the files of one while those of
# another have just been deleted. So what is temporary lives in memory where there is plenty and programs may be run from it.
memory=/dev/shm
plenty() {
  local enough=$((4 * 1024 * 1024)) # KiB
  [ -w "$memory" ] && [ -r /proc/meminfo ] || return 1
  [ "$(df -Pk "$memory" | awk 'NR == 2 { print $4 }')" -ge "$enough" ] || return 1
  # A container may have less than its machine.
  # shellcheck disable=SC2046 # one file or none
  awk -v enough=$((2 * enough)) '$1 == "MemAvailable:" && $2 < enough || NF == 1 && $1 ~ /^[0-9]+$/ && $1 / 1024 < enough { exit 1 }' \
    /proc/meminfo $(ls /sys/fs/cgroup/memory.max 2>/dev/null) || return 1
  awk -v dir="$memory" '$2 == dir && $4 ~ /(^|,)noexec(,|$)/ { exit 1 }' /proc/mounts
}
if [ -z "${TMPDIR:-}" ] && plenty; then
  memory_dir=$(mktemp -d "$memory/crema-XXXXXX")
  chmod 1777 "$memory_dir" # a PostgreSQL of root is another user's
  export TMPDIR=$memory_dir
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp" ${memory_dir:+"$memory_dir"} || true' EXIT # a process that is just ending may still write
export CGO_ENABLED=1

go mod download
go mod download -modfile=.ci/go.mod
go build -o "$tmp/withpg" ./server/testkit/cmd/withpg
# Built once, so that it also serves modules other than the main one.
go build -modfile=.ci/go.mod -o "$tmp/gotestsum" gotest.tools/gotestsum

# gotestsum knows the totals of a run; the hook adds them to a file.
cat >"$tmp/count" <<'HOOK'
#!/bin/sh
echo "$TESTS_TOTAL $TESTS_FAILED $TESTS_SKIPPED $TESTS_ERRORS" >>"$CREMA_TEST_COUNTS"
HOOK
chmod +x "$tmp/count"
export CREMA_TEST_COUNTS=$tmp/counts

# Many tests wait for browsers, clocks and processes that they kill, so more packages run side by side than there are
# cores. vet is a linter's work (lint.sh), and nobody debugs these binaries.
side_by_side=$((2 * $(getconf _NPROCESSORS_ONLN)))
run_tests() {
  "$tmp/withpg" "$tmp/gotestsum" --format standard-quiet --hide-summary skipped \
    --post-run-command "$tmp/count" -- -race -timeout 14m -p "$side_by_side" -vet=off -ldflags=-w "$@" || touch "$tmp/failed"
}

if [ $# -gt 0 ]; then
  run_tests "$@"
else
  # Modules of their own, so that their libraries stay out of the server's. They run beside the others.
  for module in stripejudge s3; do
    { (cd "server/e2e/$module" && run_tests ./...) || touch "$tmp/failed"; } >"$tmp/$module.log" 2>&1 &
  done
  run_tests ./server/e2e ./... # the longest first
  wait
  cat "$tmp/stripejudge.log" "$tmp/s3.log"
fi

touch "$CREMA_TEST_COUNTS"
awk '{ t += $1; f += $2 + $4; s += $3; bad += $2 } END {
  printf "%d passed, %d failed, %d skipped\n", t - bad - s, f, s
}' "$CREMA_TEST_COUNTS"
[ ! -e "$tmp/failed" ]
