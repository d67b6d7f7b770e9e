# Everything a contributor runs. `make help` lists it.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# One more than there are processors, since many tests wait: for a lease to lapse, for a process to end.
WORKERS = $(shell $(PYTHON) -c "import os; print(len(getattr(os, 'sched_getaffinity', lambda _: range(os.cpu_count() or 1))(0)) + 1)")
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo test browser bench soak check format lock surface clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

demo: $(READY) ## the whole job through a real MCP client, offline
	@$(BIN)/genai-batch demo

test: check $(READY) $(if $(shell command -v npm),.node/.ready) ## every check and every test
	$(BIN)/pytest --numprocesses $(WORKERS) --ignore tests/benchmarks
	$(BIN)/pytest tests/benchmarks

browser: ## the Chromium that the report's tests look through, where there is none and apt-get is at hand
	@command -v chromium chromium-browser google-chrome google-chrome-stable || \
		(apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium)

soak: $(READY) ## kill several hundred processes at random moments, and count
	$(BIN)/pytest tests/test_kills.py tests/test_live_kills.py --kills 150 -s

bench: $(READY) ## what preflight, results, lookups and live runs take, against their floors, with the targets
	$(BIN)/python tests/benchmarks/preflight.py
	$(BIN)/python tests/benchmarks/results.py
	$(BIN)/python tests/benchmarks/lookups.py
	$(BIN)/python tests/benchmarks/scans.py
	$(BIN)/python tests/benchmarks/live.py

check: $(READY) ## ruff, pyright and the import layers, without the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

format: $(READY) ## let ruff format and fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

surface: $(READY) ## write the surface snapshot and the README's table after a reviewed change
	$(BIN)/pytest tests/test_surface.py tests/test_documents.py --write-surface --quiet -k 'reviewed or table'

clean: ## remove what make built
	rm -rf .venv .node

lock: $(READY) ## pin the dependencies again, with hashes and without addresses
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-header --quiet -o requirements.lock

# The environment is built by the standard library alone, and again whenever the pins change. The lock is complete, so pip
# resolves nothing: a release that came out since cannot change what is installed.
$(READY): requirements.lock pyproject.toml
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/pip check --quiet --disable-pip-version-check
	@touch $@

# Foreign MCP clients for the interoperability tests, and the browser's driver; the versions are pinned in tests/node/package.json.
.node/.ready: tests/node/package.json
	rm -rf .node && mkdir -p .node && cp tests/node/package.json .node/
	cd .node && npm install --no-package-lock --no-audit --no-fund --silent
	@touch $@
