# Each target does all of its own set-up: a virtual environment in .venv, made again only when
# pyproject.toml has changed, and Azurite in the user's cache, installed once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet
ARGS ?=
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-clients check format sim fire fuzz bench azurite clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

quickstart: $(VENV)/quickstart.stamp ## run the main job on real input, in seconds
	@$(BIN)/python examples/run.py examples/quickstart.py

test: $(VENV)/develop.stamp azurite _iproute2 ## pass all tests, JOBS=n files at once; ARGS=... for pytest
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile $(ARGS)

test-clients: $(VENV)/develop.stamp azurite ## let real clients try it; installs them once; ARGS=...
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile \
		$(if $(filter tests/%,$(ARGS)),,tests/clients) $(ARGS)

check: $(VENV)/develop.stamp ## format, lint and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: $(VENV)/develop.stamp ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

sim: $(VENV)/develop.stamp ## the simulation alone; SEED=n plays one, MINUTES=n new ones, MUTATIONS=1
	@$(BIN)/python -m $(if $(SEED),tests.sim --seed $(SEED),$(if $(MINUTES),tests.sim --minutes \
		$(MINUTES),$(if $(MUTATIONS),tests.sim --mutations,pytest tests/sim))) $(ARGS)

fire: $(VENV)/develop.stamp ## kill real processes at random; ROUNDS=n, SEED=n
	@$(if $(ROUNDS),FIRE_ROUNDS=$(ROUNDS)) $(if $(SEED),FIRE_SEED=$(SEED)) $(BIN)/python -m pytest \
		-q tests/e2e/fire/test_rounds.py $(ARGS)

fuzz: $(VENV)/develop.stamp ## a million broken requests; REQUESTS=n, SEED=n
	@$(BIN)/python -m tests.fuzz $(if $(REQUESTS),--requests $(REQUESTS)) $(if $(SEED),--seed $(SEED))

bench: $(VENV)/bench.stamp _parallel ## measure beside the machine's floor and beside peers; ARGS=NAMES
	@$(BIN)/python -m bench.run $(ARGS)

azurite: $(VENV)/develop.stamp ## install Azurite into the user's cache
	@$(BIN)/python -m penstock.launch.azurite_install

clean: ## remove what make made here; the user's cache stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/quickstart.stamp: pyproject.toml | $(BIN)/pip
	@echo "Installing penstock into $(VENV)"
	@$(PIP) install --editable '.[quickstart]'
	@touch $@

$(VENV)/develop.stamp: pyproject.toml | $(BIN)/pip
	@echo "Installing penstock and the tools for its tests into $(VENV)"
	@$(PIP) install --editable '.[test,check]'
	@touch $@

$(VENV)/bench.stamp: $(VENV)/develop.stamp
	@echo "Installing what Penstock is compared with into $(VENV)"
	@$(PIP) install --editable '.[test,check,bench]' \
		|| echo "Not all of it could be installed; the table says who is left out" >&2
	@touch $@

# A peer of the benchmarks. Where it cannot be installed, they do without.
.PHONY: _parallel
_parallel:
	@command -v parallel >/dev/null || test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null \
		|| { echo "Installing GNU parallel"; apt-get update -qq </dev/null \
		&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends parallel \
		</dev/null >/dev/null; } \
		|| echo "GNU parallel could not be installed" >&2

# Debian keeps ensurepip in a package of its own, so a machine with Python may lack it.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Penstock needs Python 3.11 or newer: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) --no-print-directory _ensurepip
	@echo "Making $(VENV)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)

.PHONY: _ensurepip
_ensurepip:
	@test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		|| { echo "Install the package python3-venv first (apt-get install python3-venv)" >&2; exit 1; }
	@echo "Installing python3-venv"
	@apt-get update -qq </dev/null
	@DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv \
		</dev/null >/dev/null

# Some tests cut a network link, for which they need ip; without it they say that they were skipped.
.PHONY: _iproute2
_iproute2:
	@command -v ip >/dev/null || test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null || { \
		echo "Installing iproute2"; \
		apt-get update -qq </dev/null; \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends iproute2 \
			</dev/null >/dev/null || echo "iproute2 cannot be installed: some tests are skipped"; \
	}
