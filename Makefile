# Everything runs in a virtual environment of its own, made on first use and again when what it
# is made from has changed. VENV=/elsewhere puts it elsewhere; PYTHON=python3.12 makes it of that.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help demo test lint bench clean
.DEFAULT_GOAL := help

help: ## say what there is to make
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/'

demo: $(VENV)/.done ## compare schedules on slow networks; look at out/demo afterwards
	$(BIN)/thinwire demo --out out/demo

test: lint ## lint, then every test, fast ones first
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 -m "not slow and not bench" --durations=5
	$(BIN)/pytest -q -m "slow and not bench" --durations=5

lint: $(VENV)/.done ## format, rules and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.done ## measure how fast the simulator is
	$(BIN)/pytest -q -s -m bench tests/benchmarks

clean: ## remove the environment, caches and results
	rm -rf $(VENV) build dist out *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# torch comes first and alone: constraints.txt says why.
$(VENV)/.done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "thinwire needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	       "Name another one: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade pip
	$(BIN)/pip install -q -c constraints.txt torch
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	@touch $@
