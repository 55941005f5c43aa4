# Everything from nothing: `make demo` and `make test` make .venv, install into it, and run. A second time only the run is left.
PYTHON ?=
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --progress-bar off -c constraints.txt
INPUTS := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check lint slow bench clean

help:  ## Show this list.
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

demo: $(VENV)/.demo  ## Train, evaluate and explain a small model on synthetic images; results in demo/.
	rm -rf demo
	$(BIN)/medmtl demo --out demo

test: lint  ## Lint, types, import contract and the fast tests, in JOBS processes (2).
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist loadfile

check: test slow  ## The same and the slow tests: kills, several processes, real data where MEDMTL_DATA names it.

lint: $(VENV)/.test  ## Style, formatting, types, import contract.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

slow: $(VENV)/.test  ## The slow tests alone.
	$(BIN)/pytest -m slow

bench: $(VENV)/.demo  ## Benchmarks that need no real data: prints ratios, about ten minutes.
	$(BIN)/python benchmarks/all.py

clean:  ## Remove caches, build products and demo/; .venv and your runs stay.
	rm -rf build dist demo *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find medmtl tests apps scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: what is installed. The second install brings all of the first.
$(VENV)/.demo: $(INPUTS) | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(VENV)/.test: $(INPUTS) | $(BIN)/python
	$(PIP) -e '.[dev]'
	@touch $(VENV)/.demo $@

$(BIN)/python:
	@for python in $(PYTHON) python3.11 python3; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then \
	    echo "making $(VENV) with $$(command -v "$$python")"; \
	    "$$python" -m venv $(VENV) && exit 0; \
	    rm -rf $(VENV); echo "error: this Python cannot make virtual environments; on Debian and Ubuntu: apt install python3.11-venv" >&2; exit 2; \
	  fi; \
	done; \
	found=$$(python3 --version 2>/dev/null); \
	echo "error: medmtl needs Python 3.11, found $${found:-no python3}; install it, or run: make PYTHON=/path/to/python3.11" >&2; exit 2
