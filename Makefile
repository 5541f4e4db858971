# One command each: `make run`, `make demo`, `make test`. Everything they install stays in this folder (.venv, node_modules).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory
.NOTPARALLEL:

# The newest Python that is supported and here; `make PYTHON=/path/to/python3.12 run` chooses another.
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3 python; do \
	"$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && command -v "$$name" && break; done)
# Most tests wait for processes most of the time; more workers than cores keep the cores busy.
WORKERS ?= 4
VENV := .venv
BIN := $(VENV)/bin
SIDECAR := baileys-server

# A stamp is touched after its step succeeded, so that the second `make run` starts at once. Each lies in the folder that its
# step fills and goes with it.
VENV_MADE := $(VENV)/.made
PYTHON_RUN := $(VENV)/.installed-run
PYTHON_DEV := $(VENV)/.installed-dev
NODE_RUN := $(SIDECAR)/node_modules/.installed-run
NODE_DEV := $(SIDECAR)/node_modules/.installed-dev
NODE_TESTS := $(SIDECAR)/node_modules/.test-output
NODE_LINT := $(SIDECAR)/node_modules/.lint-output
BENCH_PEERS := tests/bench/peers/node_modules/.installed

# Hashes: a changed file on the way is refused. No resolver: the lock is complete.
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --require-hashes --no-deps
SHOW_PACKAGES := | sed -un -E 's/^(Collecting|Processing) ([^ ]*\/)?([^ ]+).*/  \3/p'
NPM_CI := npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error

.PHONY: help
help: ## Show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

.PHONY: run
run: node-here $(PYTHON_RUN) $(NODE_RUN) ## Start everything; installs what is missing
	@exec $(BIN)/python -m orchestrator up

.PHONY: demo
demo: node-here $(PYTHON_DEV) $(NODE_DEV) ## Two accounts survive kill -9, without a phone and without the internet
	@exec $(BIN)/python -m tests.demo

.PHONY: bench
bench: node-here $(PYTHON_DEV) $(NODE_DEV) $(BENCH_PEERS) ## Measure us and others side by side: an hour, ARGUMENTS=--quick 6
	@exec $(BIN)/python -m tests.bench $(ARGUMENTS)

.PHONY: install
install: node-here browser ## Install everything, tools for developers included
	@$(MAKE) $(NODE_DEV) & node=$$!; $(MAKE) $(PYTHON_DEV); wait $$node

.PHONY: browser
browser: ## Install what the tests need of Debian: Chromium without its window, and what the documents' commands call
	@may=""; [ "$$(id -u)" != 0 ] || ! command -v apt-get > /dev/null || may=1; missing=""; \
	command -v chromium-headless-shell > /dev/null \
		|| { [ -z "$$may" ] && { command -v chromium || command -v chromium-browser; } > /dev/null; } \
		|| missing="chromium-headless-shell"; \
	for tool in curl openssl; do command -v $$tool > /dev/null || missing="$$missing $$tool"; done; \
	if [ -n "$$missing" ]; then \
		if [ -z "$$may" ]; then \
			echo "The tests need on PATH: $$missing; on Debian: apt-get install $$missing."; exit 1; fi; \
		echo "Installing $$missing ..."; log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
		{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing; } > "$$log" 2>&1 \
			|| { cat "$$log"; exit 1; }; fi

.PHONY: pictures
pictures: install ## Take the pictures of the pages that the documents show
	@PICTURES=docs/images $(BIN)/python -m pytest -q tests/e2e/test_pairing_page.py tests/e2e/test_bot.py tests/e2e/test_dashboard.py

.PHONY: test
test: install lint ## All checks and all tests
	@$(BIN)/python -m compileall -q orchestrator tests/support # each of hundreds of processes would, where PYTHONDONTWRITEBYTECODE is set
	@echo "== pytest: units, integration on a real PostgreSQL, end to end; at the same time node --test: sidecar"
	@export TEST_PATIENCE=3; (cd $(SIDECAR) && exec npm test --silent) > $(NODE_TESTS) 2>&1 & node=$$!; trap "kill $$node 2> /dev/null || true" EXIT; \
		$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder; \
		wait $$node || { grep -vE "^ *(ok|# Subtest|---|\.\.\.|duration_ms|type:)" $(NODE_TESTS); exit 1; }; \
		echo "== node --test: sidecar"; grep -E "^# (tests|pass|fail|skipped)" $(NODE_TESTS)
	@echo "All checks and tests passed."

LONG_TESTS := tests/e2e/test_killed_parts.py tests/e2e/test_new_container.py tests/e2e/test_database_outage.py tests/e2e/test_incoming_messages.py tests/e2e/test_acknowledged_writes.py tests/e2e/test_outbox_and_webhooks.py tests/e2e/test_billing.py tests/e2e/test_hung_sidecar.py

.PHONY: chaos
chaos: install ## 1,000 faults at random on two replicas, and 50 deploys: two hours; ARGUMENTS="--faults 200 --deploys 10" half an hour
	@exec $(BIN)/python -m tests.chaos $(ARGUMENTS)

.PHONY: long-tests
long-tests: install ## The tests that show more the longer they run: 5 minutes without PostgreSQL, dozens of kills; 15 minutes in all
	@CHAOS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile -rP $(LONG_TESTS)

.PHONY: fuzz
fuzz: install ## Random requests to every operation of the API, for a quarter of an hour; ARGUMENTS="--examples 20" two minutes
	@exec $(BIN)/python -m tests.fuzz $(ARGUMENTS)

.PHONY: lint
lint: install ## Formatters, linters, type checkers, layers
	@(cd $(SIDECAR) && exec npm run lint --silent) > $(NODE_LINT) 2>&1 & node=$$!; trap "kill $$node 2> /dev/null || true" EXIT; \
	echo "== ruff"; $(BIN)/ruff check --quiet; $(BIN)/ruff format --check --quiet; echo "ruff: clean"; \
	echo "== mypy"; $(BIN)/mypy --no-error-summary; echo "mypy: clean"; \
	echo "== import-linter"; layers=$$($(BIN)/lint-imports --no-logo --no-cache 2>&1) || { echo "$$layers"; exit 1; }; \
	echo "import-linter: clean"; \
	echo "== eslint, tsc"; wait $$node || { cat $(NODE_LINT); exit 1; }; echo "eslint, tsc: clean"

.PHONY: format
format: $(PYTHON_DEV) ## Let the formatter have its way
	@$(BIN)/ruff check --fix --quiet && $(BIN)/ruff format

.PHONY: image-check
image-check: node-here $(NODE_DEV) ## Run the Dockerfile's steps in a clean Debian root without Docker, and start the result; root
	@deploy/prove-image

PIP_AUDIT_VERSION := 2.10.1
PIP_AUDIT := build/pip-audit-$(PIP_AUDIT_VERSION)
.PHONY: audit
audit: node-here $(PIP_AUDIT)/bin/pip-audit ## Look for known vulnerabilities in everything that is locked
	@deploy/audit $(PIP_AUDIT)/bin/pip-audit

$(PIP_AUDIT)/bin/pip-audit: $(VENV_MADE)
	@$(BIN)/python -m venv $(PIP_AUDIT) && $(PIP_AUDIT)/bin/pip install --disable-pip-version-check -q pip-audit==$(PIP_AUDIT_VERSION)

.PHONY: sbom
sbom: ## List everything that is locked as CycloneDX, in build/sbom.cdx.json
	@mkdir -p build && python3 deploy/sbom > build/sbom.cdx.json && echo "build/sbom.cdx.json"

.PHONY: install-run
install-run: node-here $(PYTHON_RUN) $(NODE_RUN) ## Install what running needs, no tools for developers

.PHONY: lock
lock: $(PYTHON_DEV) ## Choose the newest fitting versions anew and write them, with hashes, into the locks
	@$(BIN)/python -m pip install --disable-pip-version-check -q uv==0.13.9
	@$(BIN)/uv pip compile --quiet --upgrade $(LOCK_FORMAT) pyproject.toml --output-file requirements.lock
	@$(BIN)/uv pip compile --quiet --upgrade $(LOCK_FORMAT) --extra dev pyproject.toml --output-file requirements-dev.lock
	@if grep -nE '^ *(--(index-url|extra-index-url|find-links))|://' requirements.lock requirements-dev.lock; then \
		echo "The locks name a host; remove it."; exit 1; fi

# One lock for all supported Pythons and systems; no host in it, so that a mirror of the user's choice works.
LOCK_FORMAT := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	--custom-compile-command "make lock"

.PHONY: clean
clean: ## Remove what was installed and cached; the data stays
	@rm -rf $(VENV) $(SIDECAR)/node_modules tests/bench/peers/node_modules .mypy_cache .ruff_cache .import_linter_cache
	@find orchestrator tests -name __pycache__ -type d -prune -exec rm -rf {} +

# -- installing ---------------------------------------------------------------------------------------------------------

$(VENV_MADE):
	@if [ -z "$(PYTHON)" ]; then \
		echo "Python 3.11, 3.12 or 3.13 is needed and none is on PATH; install one and start again."; exit 1; fi
	@if ! "$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$(PYTHON) has no venv module; on Debian and Ubuntu install python3-venv, then start again."; exit 1; fi
	@echo "Making $(VENV) with $$("$(PYTHON)" --version) ..."
	@"$(PYTHON)" -m venv --clear $(VENV)
	@touch $@

$(PYTHON_RUN): requirements.lock $(VENV_MADE)
	@echo "Installing Python packages ..."
	@$(PIP_INSTALL) -r requirements.lock $(SHOW_PACKAGES)
	@touch $@

$(PYTHON_DEV): requirements-dev.lock $(VENV_MADE)
	@echo "Installing Python packages, tools for developers included ..."
	@$(PIP_INSTALL) -r requirements-dev.lock $(SHOW_PACKAGES)
	@touch $@ $(PYTHON_RUN)

.PHONY: node-here
node-here:
	@if ! command -v node >/dev/null || ! command -v npm >/dev/null; then \
		echo "Node.js 20.18.1 or newer with npm is needed and isn't on PATH; install it and start again."; exit 1; fi
	@if ! node -e 'process.exit(process.versions.node.localeCompare("20.18.1", undefined, { numeric: true }) < 0 ? 1 : 0)'; then \
		echo "Node.js 20.18.1 or newer is needed, but node is $$(node --version); install a newer one and start again."; exit 1; fi

$(NODE_RUN): $(SIDECAR)/package-lock.json $(SIDECAR)/package.json | node-here
	@if [ -e $(NODE_DEV) ]; then $(MAKE) $(NODE_DEV); else \
		echo "Installing Node packages ..." && cd $(SIDECAR) && $(NPM_CI) --omit=dev; fi
	@touch $@

$(NODE_DEV): $(SIDECAR)/package-lock.json $(SIDECAR)/package.json | node-here
	@echo "Installing Node packages, tools for developers included ..."
	@cd $(SIDECAR) && $(NPM_CI)
	@touch $@ $(NODE_RUN)

$(BENCH_PEERS): tests/bench/peers/package-lock.json tests/bench/peers/package.json | node-here
	@echo "Installing the stores that we are compared with ..."
	@cd tests/bench/peers && $(NPM_CI)
	@touch $@
