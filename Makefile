# Everything a contributor runs. `make help` lists it.
PYTHON ?= python3
# Another environment beside the usual one: `make demo PYTHON=python3.13 VENV=.venv-3.13`. One that is there keeps its Python.
VENV ?= .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked
READY := $(VENV)/.ready
PIP := $(BIN)/pip --quiet --disable-pip-version-check
# Two more than there are processors, since many tests wait: for a lease to lapse, for a process to end.
WORKERS = $(shell "$(BIN)/python" -c "import os; print(len(getattr(os, 'sched_getaffinity', lambda _: range(os.cpu_count() or 1))(0)) + 2)")
# The interpreters that `make check-pythons` finds: on the PATH, and where pyenv keeps its own.
PYTHONS = $(shell "$(BASE)" tests/packaging/interpreters.py)
# The interpreter as it stands on the PATH without the environment, which may be half built.
BASE := $(or $(shell command -v "$(PYTHON)"),$(PYTHON))
OLD = Python 3.11 or newer is needed, and $(PYTHON) is older: name one that is there, as in PYTHON=python3.12.
export PATH := $(abspath $(BIN)):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo test tests browser bench soak check dist check-ranges check-pythons format lock surface clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 15

demo: $(READY) ## the whole job through a real MCP client, offline
	@$(BIN)/genai-batch demo

test: check tests ## every check and every test

tests: $(READY) $(if $(shell command -v npm),.node/.ready) # `make -j2 test` runs them beside the checks
	$(BIN)/pytest --numprocesses $(WORKERS)

browser: ## the Chromium that the report's tests look through, where there is none and apt-get is at hand
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do command -v $$name && exit 0; done; \
		(apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium)

soak: $(READY) ## kill several hundred processes at random moments, and count
	$(BIN)/pytest tests/test_kills.py tests/test_live_kills.py --kills 150 -s

bench: $(READY) ## how fast everything is, each figure a ratio to a floor of the same run, beside its target
	$(BIN)/python tests/benchmarks/all.py

check: $(READY) ## ruff, pyright and the import layers, without the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

dist: $(READY) ## the wheel and the source archive, in dist/
	rm -rf dist
	$(BIN)/uv build --quiet --offline --no-build-isolation --python $(BIN)/python

check-ranges: dist ## install the wheel without the lock, with the newest and with the lowest releases, and play the demo
	$(BIN)/python tests/packaging/ranges.py dist

check-pythons: ## play the demo with the Pythons from 3.11 to 3.14 that are on this machine
	@test -n "$(PYTHONS)" || { echo "No Python from 3.11 to 3.14 was found; is PYTHON=$(PYTHON) one that starts?"; exit 1; }
	@for python in $(PYTHONS); do \
		version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "Python $$version" && $(MAKE) --no-print-directory demo PYTHON=$$python VENV=.venv-$$version || exit 1; \
	done

format: $(READY) ## let ruff format and fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

surface: $(READY) ## write the surface snapshot and the README's table after a reviewed change
	$(BIN)/pytest tests/test_surface.py tests/test_documents.py --write-surface --quiet -k 'reviewed or table'

clean: ## remove what make built
	rm -rf .venv .venv-* .node build dist

lock: $(LOCKED) ## pin the dependencies again, the newest that the ranges allow, with hashes and without addresses
	$(BIN)/uv pip compile pyproject.toml --upgrade --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-header --quiet -o requirements.lock

# The environment is built by the standard library alone, and again whenever the pins change. The lock is complete, so
# pip resolves nothing: a release that came out since cannot change what is installed.
$(LOCKED): requirements.lock
	@"$(BASE)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(OLD)")'
	"$(BASE)" -m venv --clear $(VENV)
	$(PIP) install --no-deps --require-hashes --only-binary :all: -r requirements.lock
	$(BIN)/pip check --disable-pip-version-check
	@touch $@

$(READY): $(LOCKED) pyproject.toml
	$(PIP) install --no-deps --no-build-isolation -e .
	$(BIN)/pip check --disable-pip-version-check
	@touch $@

# Foreign MCP clients for the interoperability tests, and the browser's driver; the versions are pinned in tests/node/package.json.
.node/.ready: tests/node/package.json
	rm -rf .node && mkdir -p .node && cp tests/node/package.json .node/
	cd .node && npm install --no-package-lock --no-audit --no-fund --silent
	@touch $@
