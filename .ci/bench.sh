#!/usr/bin/env bash
# Measures the server beside bare handlers and fails when a ratio is under its bar. Arguments go to the
# program: -only save, -report, -out server/docs/bench.md, -profile FOLDER (see its -help).
set -euo pipefail
cd "$(dirname "$0")/.."
case " $* " in
  *" -functions "*) .ci/needs.sh clients || echo "What is missing is skipped." >&2 ;;
esac
exec go run ./server/e2e/bench "$@"
