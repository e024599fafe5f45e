#!/bin/sh
# Sets up Node and the packages of this folder. Where no Node of 20 or newer is found, a
# pinned one comes as a Python wheel into the virtual environment: a machine without Node has
# no npm to fetch one with. Never fails: the tests that need it say what is missing.
set -u
cd "$(dirname "$0")/../.." || exit 0
python=${1:-.venv/bin/python}

find_node='from tests.services.node import node; node()'
if ! "$python" -c "$find_node" >/dev/null 2>&1; then
    echo "No Node.js 20 or newer found: installing one into the virtual environment."
    "$python" -m pip install --quiet --require-hashes -r tests/node/nodejs.lock ||
        echo "Node.js could not be installed; its tests will be skipped."
fi
"$python" -m tests.services.node || echo "Node.js tests will be skipped."
