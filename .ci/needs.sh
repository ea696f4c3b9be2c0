#!/usr/bin/env bash
# Installs what a machine lacks: `needs.sh run` for the server, `needs.sh test` for the tests too, `needs.sh clients`
# for the real clients and runtimes that tests and measurements use.
# Looks first; on a machine that has everything it changes nothing and needs no network.
# Written for the bash 3.2 of macOS.
set -euo pipefail

# The parts of the PATH where Debian and Homebrew keep PostgreSQL are not on it, so look there too.
# The server looks in the same places (server/base/cluster/binaries.go).
postgres_bin() {
  local dir found
  found=$(command -v postgres || true)
  if [ -n "$found" ] && [ -x "$(dirname "$found")/initdb" ]; then
    dirname "$(real_path "$found")"
    return
  fi
  for dir in $(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql/bin | sort -rV) \
    /opt/homebrew/opt/postgresql@*/bin /opt/homebrew/opt/postgresql/bin \
    /usr/local/opt/postgresql@*/bin /usr/local/opt/postgresql/bin \
    /Applications/Postgres.app/Contents/Versions/*/bin; do
    if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ]; then
      echo "$dir"
      return
    fi
  done
  return 1
}

real_path() {
  readlink -f "$1" 2>/dev/null || echo "$1"
}

chromium_bin() {
  local name
  for name in chromium chromium-browser google-chrome google-chrome-stable chrome headless-shell headless_shell; do
    command -v "$name" && return
  done
  for name in "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" \
    /Applications/Chromium.app/Contents/MacOS/Chromium; do
    if [ -x "$name" ]; then
      echo "$name"
      return
    fi
  done
  return 1
}

say() { echo "$*" >&2; }

die() {
  say "$*"
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  else
    sudo "$@"
  fi
}

# install WHY DEBIAN-PACKAGES BREW-PACKAGES: with whichever of the two package managers is there.
install() {
  local why=$1 debian=$2 brew=$3
  if command -v apt-get >/dev/null; then
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
      die "Missing: $why. There is no sudo here; as root, run: apt-get install $debian"
    fi
    say "Installing $debian with apt-get: $why."
    if [ -z "${apt_updated:-}" ]; then
      as_root apt-get update -qq
      apt_updated=yes
    fi
    # shellcheck disable=SC2086 # a list of packages
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $debian >&2
  elif command -v brew >/dev/null; then
    [ -n "$brew" ] || return 0
    say "Installing $brew with Homebrew: $why."
    # shellcheck disable=SC2086
    brew install --quiet $brew >&2
  else
    die "Missing: $why. There is neither apt-get nor Homebrew here; install it yourself (on Debian: $debian)."
  fi
}

need_go() {
  command -v go >/dev/null || die "Missing: Go 1.21 or newer (it fetches the version in go.mod by itself). See https://go.dev/doc/install"
}

need_postgres() {
  postgres_bin >/dev/null && return
  (
    no_system_cluster
    install "PostgreSQL, where the server keeps its data (no system service is started)" postgresql postgresql@17
  ) || exit 1
  postgres_bin >/dev/null || die "PostgreSQL is still missing. Install it and try again."
}

# Debian's package makes and starts a cluster for the whole machine. Nobody asked for that one: a
# drop-in prevents it until the calling shell ends. It makes no difference where one exists.
no_system_cluster() {
  local dir=/etc/postgresql-common/createcluster.d
  command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || command -v sudo >/dev/null; } || return 0
  trap 'as_root rm -f /etc/postgresql-common/createcluster.d/crema.conf' EXIT
  as_root mkdir -p "$dir"
  echo "create_main_cluster = false" | as_root tee "$dir/crema.conf" >/dev/null
}

# The tests of locations use PostGIS where it is to be had; the server does not require it.
need_postgis() {
  local bin version
  bin=$(postgres_bin)
  case $bin in /usr/lib/postgresql/*/bin) ;; *) return 0 ;; esac
  version=$(basename "$(dirname "$bin")")
  [ -e "/usr/share/postgresql/$version/extension/postgis.control" ] && return
  (install "PostGIS, for the tests of locations" "postgresql-$version-postgis-3" "") ||
    say "PostGIS for PostgreSQL $version is not to be had here; its tests are skipped."
}

need_chromium() {
  chromium_bin >/dev/null && return
  local package=chromium
  # Ubuntu's package of this name is another program; its browser is a snap.
  if grep -qs '^ID=ubuntu' /etc/os-release; then
    package=chromium-browser
  fi
  install "a Chromium, for the browser tests" "$package" "--cask google-chrome"
  chromium_bin >/dev/null || die "Chromium is still missing. Install Chromium or Google Chrome and try again."
}

need_node() {
  command -v node >/dev/null && command -v npm >/dev/null && return
  install "Node with npm, for the tests with the real JavaScript clients" "nodejs npm" node
}

# Go's race detector is linked with a C compiler; on macOS it is not.
need_cc() {
  [ "$(uname)" = Darwin ] && return
  command -v "${CC:-gcc}" >/dev/null && [ -e /usr/include/stdlib.h ] && return
  install "a C compiler, for the race detector of the tests" "gcc libc6-dev" ""
}

# The pinned npm packages of the test clients. Their install scripts do not run.
need_clients() {
  local lock dir
  for lock in server/e2e/clients/package-lock.json server/e2e/clients/*/package-lock.json; do
    [ -e "$lock" ] || continue
    dir=$(dirname "$lock")
    [ "$dir/node_modules/.package-lock.json" -nt "$lock" ] && continue
    say "Installing the npm packages that $dir pins: test clients."
    (cd "$dir" && npm ci --silent --no-audit --no-fund --ignore-scripts >&2)
  done
}

# python_for old|new|plugin: a Python that runs that client and makes virtual environments. The test that skips
# without one (server/e2e/clients/python_test.go) looks in the same way.
python_for() {
  local name fit='(3, 10) <= v'
  [ "$1" = new ] || fit='(3, 10) <= v < (3, 12)'
  for name in python3.11 python3.10 python3; do
    if "$name" -c "import ensurepip, sys, venv; v = sys.version_info; sys.exit(not ($fit))" 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  return 1
}

need_python() {
  python_for new >/dev/null && return
  install "Python, for the tests with the real Python clients" "python3 python3-venv" python@3.11
}

# The pinned Python packages of the test clients, an old and a new set and those of plugins, each in an environment of its own.
need_venvs() {
  local which python file dir
  for which in old new plugin; do
    file=server/e2e/clients/requirements-$which.txt
    dir=server/e2e/clients/.venv-$which
    cmp -s "$file" "$dir/requirements.txt" && "$dir/bin/python" -c '' 2>/dev/null && continue
    if ! python=$(python_for "$which"); then
      say "There is no Python here that runs $file; its test is skipped."
      continue
    fi
    say "Installing the Python packages that $file pins: test clients."
    rm -rf "$dir"
    if "$python" -m venv "$dir" && "$dir/bin/python" -m pip install --quiet --disable-pip-version-check \
      --no-deps --only-binary :all: --no-binary skygear,python-json-logger --require-hashes -r "$file" >&2; then
      cp "$file" "$dir/requirements.txt"
    else
      rm -rf "$dir"
      say "The Python packages of $file are not to be had here; its test is skipped."
    fi
  done
}

cd "$(dirname "$0")/.."
case ${1:-} in
  run)
    need_go
    need_postgres
    ;;
  test)
    need_go
    need_postgres
    need_postgis
    need_chromium
    need_node
    need_python
    need_cc
    need_clients
    need_venvs
    ;;
  clients)
    need_node
    need_python
    need_clients
    need_venvs
    ;;
  *) die "usage: .ci/needs.sh run|test|clients" ;;
esac
