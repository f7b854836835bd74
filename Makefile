# make search     a search of about three minutes on this machine; ARGS="--evaluations 200" passes flags on
# make test       the default tests
# make check      lint, types, layers and the default tests; .ci/run adds the wheel and the slow tests
# Each sets up .venv first. PYTHON=python3.11 takes another Python, PIP_ARGS="--extra-index-url ..." another torch build.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
PIP_ARGS ?=

.PHONY: search test slow lint check dev clean

search: $(VENV)/.local
	$(BIN)/actsearch search $(ARGS)

test: $(VENV)/.dev
	$(BIN)/pytest --numprocesses 2 --dist loadfile $(ARGS)

slow: $(VENV)/.dev
	$(BIN)/pytest -m slow --numprocesses 2 --dist loadfile --timeout 2400 $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

dev: $(VENV)/.dev

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(f"error: Python {sys.version.split()[0]} is too old, 3.11 or newer is needed: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.local: pyproject.toml | $(VENV)/.python
	$(BIN)/pip install --quiet --editable '.[local]' $(PIP_ARGS)
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.python
	$(BIN)/pip install --quiet --editable '.[dev]' $(PIP_ARGS)
	touch $(VENV)/.local $@

clean:
	rm -rf $(VENV) dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage
