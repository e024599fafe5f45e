#!/bin/sh
# Installs the pinned Python programs of docs/clients into .venv of this folder, and with npm the
# proxy that JupyterHub starts. Does nothing where both are there for these lock files.
set -eu
cd "$(dirname "$0")"

wanted=$(cat requirements.lock proxy/package-lock.json install.sh | sha256sum)
stamp=.venv/.installed
[ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && exit 0

# The workers of one run of the tests come at the same time.
exec 9>.installing
flock 9
[ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && exit 0

root=../../..
python=${PYTHON:-$root/.venv/bin/python}
[ -x "$python" ] || python=python3
echo "Installing the Python client programs (once; a minute or two)"
[ -x .venv/bin/pip ] || "$python" -m venv .venv || $root/deploy/debian-venv.sh "$python" .venv
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
PATH="$PATH:$PWD/$root/.venv/bin" # the Node of tests/node/install.sh, where there is no other
if command -v npm >/dev/null; then
    npm ci --prefix proxy --no-audit --no-fund --loglevel error
fi
echo "$wanted" >"$stamp"
