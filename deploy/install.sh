#!/usr/bin/env bash
# Makes the virtual environment from a lock, once per lock, place and Python; asks again in milliseconds.
#   deploy/install.sh PYTHON VENV LOCK
# The checkout itself is put on the path with a .pth file: installing it would need a build backend, which a
# fresh machine does not have. Whatever goes wrong is told in one sentence, and nothing half-made is kept.
set -uo pipefail
python=$1 venv=$PWD/$2 lock=$3
stamp=$venv/$(basename "$lock").stamp
needed_mb=1500

fail() { printf 'graphyard: %s\n' "$1" >&2; exit 1; }
free_mb() { df -Pm . | awk 'NR == 2 {print $4}'; }
modern() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

stamped() { # what the environment was made from; anything else and it is made again
  printf '%s %s %s\n' "$(sha256sum <"$lock" | cut -d' ' -f1)" "$venv" "$("$venv/bin/python" -V 2>&1)"
}
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(stamped)" ] && exit 0

if ! modern "$python"; then
  said=$("$python" -V 2>/dev/null || echo "not there")
  for other in python3.14 python3.13 python3.12 python3.11; do
    if modern "$other"; then python=$other; break; fi
  done
  modern "$python" || fail "Python 3.11 or newer is needed and $python is ${said#Python }: install python3.11 (or newer) with its venv module, or name one with \`make PYTHON=/path/to/python3.11\`."
fi
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
  fail "$python has no venv module: install it (Debian and Ubuntu: \`apt install python3-venv\`) and try again."
fi

# A move of the checkout or another Python leaves an environment whose scripts point nowhere: start over.
if [ -d "$venv" ] && { ! "$venv/bin/python" -c 'import pip' 2>/dev/null || ! grep -qsx "$venv" "$venv/place"; }; then
  rm -rf "$venv"
fi
if [ ! -d "$venv" ]; then
  [ -w . ] || fail "$PWD cannot be written: clone the repository to a directory of yours."
  [ "$(free_mb)" -ge "$needed_mb" ] || fail "The disk below $PWD has $(free_mb) MB left and the installation needs $needed_mb MB: free some space, or clone to another disk."
fi

started=$(date +%s)
made_here=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
give_up() {
  [ "$made_here" = 1 ] && rm -rf "$venv"
  reason=$(grep -E '^ *(ERROR|error|OSError)' "$log" | head -n 1 | sed -E 's/^ *ERROR: *//' | cut -c1-200)
  if grep -qiE 'no space left|disk quota' "$log"; then
    fail "The disk below $PWD is full: free $needed_mb MB and try again."
  elif grep -qiE 'do not match the hashes|hash mismatch|HASHES' "$log"; then
    fail "A downloaded package is not the one that $lock names ($reason): try again, and if it stays, do not trust the registry you use."
  elif grep -qiE 'name resolution|newconnectionerror|max retries|timed out|connection (refused|reset|broken)|proxyerror|sslerror|no matching distribution|could not find a version|network is unreachable|40[137] client error|50[0-9] server error' "$log"; then
    fail "The package registry cannot be reached or lacks a package ($reason): check the network, or set PIP_INDEX_URL (and a proxy) to a registry that you can reach."
  fi
  tail -n 20 "$log" >&2
  fail "The packages of $lock could not be installed (${reason:-see above}): put that right and try again."
}
trap 'made_here=1; echo "interrupted" >"$log"; [ -f "$stamp" ] || rm -rf "$venv"; fail "Interrupted: nothing half-made is kept, run it again."' INT TERM

if [ ! -d "$venv" ]; then
  made_here=1
  "$python" -m venv "$venv" >"$log" 2>&1 || give_up
  printf '%s\n' "$venv" >"$venv/place"
fi
printf '  %-28s' "packages ($(grep -c '==' "$lock") of $lock)"
"$venv/bin/python" -m pip install --disable-pip-version-check --no-input --retries 3 --require-hashes \
  --requirement "$lock" >"$log" 2>&1 || { echo; give_up; }
printf '%4d s\n' "$(($(date +%s) - started))"

site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
printf '%s\n' "$PWD" >"$site/graphyard.pth"
# What the project calls itself, for `pip list` and importlib.metadata.
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml | head -n 1)
rm -rf "$site"/graphyard-*.dist-info && mkdir "$site/graphyard-$version.dist-info"
printf 'Metadata-Version: 2.1\nName: graphyard\nVersion: %s\n' "$version" >"$site/graphyard-$version.dist-info/METADATA"
# -P: a project's own `api` or `settings` in the current directory must not be taken for ours.
cat >"$venv/bin/graphyard" <<'SH'
#!/bin/sh
exec "$(dirname "$(readlink -f "$0")")/python" -P -m deploy.cli "$@"
SH
chmod +x "$venv/bin/graphyard"
# `graphyard env` puts this directory on the PATH: our two commands without our Python.
mkdir -p "$venv/commands"
ln -sfn ../bin/graphyard "$venv/commands/graphyard"
ln -sfn ../bin/langgraph "$venv/commands/langgraph"
stamped >"$stamp"
