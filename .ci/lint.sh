#!/usr/bin/env bash
# The linters. Their versions are pinned in .ci/go.mod, apart from the server's own dependencies.
set -euo pipefail
cd "$(dirname "$0")/.."

status=0
# check NAME COMMAND...: the command must succeed and print nothing.
check() {
  local name=$1 out
  shift
  if ! out=$("$@" 2>&1) || [ -n "$out" ]; then
    printf '%s:\n%s\n' "$name" "$out"
    status=1
  fi
}
# shellcheck disable=SC2317 # check calls these
tool() { go tool -modfile=.ci/go.mod "$@"; }
# Files that git ignores (npm packages) are not ours.
# shellcheck disable=SC2317
go_files() { git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 "$@"; }
# shellcheck disable=SC2317
mac() { GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 go build -o /dev/null ./server; }

go mod download
go mod download -modfile=.ci/go.mod
check "gofmt -l" go_files gofmt -l
check "gofumpt -l" go_files go tool -modfile=.ci/go.mod gofumpt -l
check "go vet" go vet ./...
check "staticcheck" tool staticcheck ./...
check "go mod tidy -diff" go mod tidy -diff
if [ -e server/main.go ]; then
  check "build for macOS" mac
fi
for module in server/e2e/stripejudge server/e2e/s3; do
  cd "$module"
  check "go vet ($module)" go vet ./...
  check "go mod tidy -diff ($module)" go mod tidy -diff
  cd - >/dev/null
done
if command -v shellcheck >/dev/null; then
  check "shellcheck" shellcheck .ci/run .ci/*.sh
fi
if [ "$status" = 0 ]; then
  echo "lint: clean"
fi
exit "$status"
