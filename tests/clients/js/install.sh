#!/bin/sh
# Installs the pinned packages of this folder; does nothing where they are there for this lock file.
set -eu
cd "$(dirname "$0")"

stamp=node_modules/.installed-lock.json
exec 9<package-lock.json
flock 9 # the workers of one run of the tests come at the same time
cmp -s package-lock.json "$stamp" && exit 0

python=$(cd ../../.. && pwd)/.venv/bin/python
[ -x "$python" ] || python=python3
node=$(cd ../../.. && "$python" -c 'from tests.services.node import node; print(node())')
PATH=$(dirname "$node"):$PATH npm ci --ignore-scripts --loglevel error
cp package-lock.json "$stamp"
