# Every target sets up what it needs; only Python 3.11+ with venv, make and a package index are
# asked of the machine. uv makes the set-up faster where it is installed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
READY := $(VENV)/.ready
BIN := $(VENV)/bin
SEEDS ?= 100
CUTS ?= 1000
MINUTES ?= 1
JOBS ?= 2
N ?= 3

.PHONY: help cluster test check fix proto interop bench bench-full sim sim-soak chaos mutants power-cuts clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The environment follows pyproject.toml: when that is newer than the stamp, it is made anew.
$(READY): pyproject.toml tools/make_environment.py
	@python=; for candidate in python3 python3.14 python3.13 python3.12 python3.11; do \
	  if $$candidate -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    python=$$candidate; break; fi; done; \
	if [ -z "$$python" ] && command -v uv >/dev/null; then python="uv run --no-project --python >=3.11 python"; fi; \
	if [ -z "$$python" ]; then echo "make: no Python 3.11 or newer with venv found" >&2; exit 1; fi; \
	$$python tools/make_environment.py $(VENV)
	@touch $@

cluster: $(READY) ## Start three members on this machine, in the foreground (N=members)
	@$(BIN)/kvstore local up -n $(N)

test: $(READY) ## Run the tests, on two processes
	@$(BIN)/python -m pytest -n 2 --durations 15

check: $(READY) ## Format, lint, types, layers, generated code
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python tools/generate_proto.py --check

fix: $(READY) ## Format, and mend what the linter can mend
	@$(BIN)/ruff check --fix --exit-zero
	@$(BIN)/ruff format

proto: $(READY) ## Generate kvstore/wire/pb from proto/
	@$(BIN)/python tools/generate_proto.py

interop: $(READY) ## Run against peers that need Go, kubectl or h2spec; says what is missing
	@$(BIN)/python tools/run_interop.py

bench: $(READY) ## Compare with a real etcd, the short way
	@$(BIN)/python -m bench

bench-full: $(READY) ## Compare with a real etcd, every workload
	@$(BIN)/python -m bench --full

sim: $(READY) ## Simulate clusters under faults: whole members, then engines alone (SEEDS=how many of each)
	@$(BIN)/python -m tests.simulation.members --seeds 0:$(SEEDS) --jobs $(JOBS)
	@$(BIN)/python -m tests.simulation --seeds 0:$(SEEDS) --jobs $(JOBS)

sim-soak: $(READY) ## Simulate for MINUTES, from a seed that nobody has tried yet
	@first=$$(date +%s)0000; half=$$(echo "$(MINUTES) 2" | awk '{print $$1 / $$2}'); \
	$(BIN)/python -m tests.simulation.members --seeds $$first: --minutes $$half --jobs $(JOBS) && \
	$(BIN)/python -m tests.simulation --seeds $$first: --minutes $$half --jobs $(JOBS)

chaos: $(READY) ## Break real members for MINUTES=1 and judge them (SEED=n repeats, ETCD=1: a real etcd)
	@$(BIN)/kvstore chaos run --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(ETCD),--etcd --no-progress)

mutants: $(READY) ## Plant each bug of tests/mutants in a copy, and see that something notices
	@$(BIN)/python -m tests.mutants.run --table docs/mutants.md

power-cuts: $(READY) ## Cut the power of members over real data files (CUTS=how often, of each kind)
	@KVSTORE_POWER_CUTS=$(CUTS) $(BIN)/python -m pytest -q -n 2 tests/property/test_power_cut.py
	@$(BIN)/python -m tests.property.test_power_cut_cluster $(CUTS)

clean: ## Remove the environment and the caches
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
