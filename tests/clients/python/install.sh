#!/bin/sh
# Installs the pinned Python programs of docs/clients into .venv of this folder, and with npm the
# proxy that JupyterHub starts. Does nothing where both are there for these lock files.
set -eu
cd "$(dirname "$0")"
root=../../..
PATH="$PATH:$PWD/$root/.venv/bin" # the Node of tests/node/install.sh, where there is no other

lock_of() { sha256sum "$@" install.sh; }
there() { [ "$(cat "$1/.installed" 2>/dev/null)" = "$(lock_of "$2")" ]; }
programs() { there .venv requirements.lock; }
proxy() { there proxy/node_modules proxy/package-lock.json; }
programs && proxy && exit 0

exec 9>.installing
flock 9 # the workers of one run of the tests come at the same time

if ! programs; then
    python=${PYTHON:-$root/.venv/bin/python}
    [ -x "$python" ] || python=python3
    echo "Installing the Python client programs (once; a minute or two)"
    [ -x .venv/bin/pip ] || "$python" -m venv .venv || $root/deploy/debian-venv.sh "$python" .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
    lock_of requirements.lock >.venv/.installed
fi
# Without the proxy only JupyterHub cannot be tried.
if ! proxy && npm ci --prefix proxy --no-audit --no-fund --loglevel error; then
    lock_of proxy/package-lock.json >proxy/node_modules/.installed
fi
