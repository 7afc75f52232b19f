# Everything a contributor or CI runs. `make help` lists the targets.
# The environment is made once in .venv and again only when pyproject.toml or constraints.txt change.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test lint format types docs diagrams check bench clean

VENV ?= .venv
BIN := $(VENV)/bin
# Shims of version managers may exist and fail, so every candidate is asked for its version.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$python && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Most modules of torch and transformers are never imported; Python compiles those that are.
QUICKLY := --no-compile
MADE := $(VENV)/.made
DEMO := $(VENV)/.demo
DEVELOPMENT := $(VENV)/.development

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(DEMO)  ## install, prove the action table, simulate a workload and run a tiny model short of memory
	$(BIN)/lineclear check --fast
	$(BIN)/lineclear simulate
	$(BIN)/lineclear run --compare --verify-each-step

test: $(DEVELOPMENT)  ## install with the development tools and run the whole test suite on every core
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: $(DEVELOPMENT)  ## style, formatting and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

format: $(DEVELOPMENT)  ## rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(DEVELOPMENT)  ## mypy and pyright, both strict
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(DEVELOPMENT)  ## run every example of README.md and docs/, and look for stale diagrams
	$(BIN)/python -m pytest --doctest-glob='*.md' README.md docs
	$(MAKE) --no-print-directory diagrams CHECK=--check
	$(BIN)/python docs/make_models.py --check
	$(BIN)/python docs/make_lesson.py --check

diagrams: $(DEVELOPMENT)  ## draw every generated diagram again
	$(BIN)/lineclear diagram lifecycle -o docs/lifecycle.svg $(CHECK)
	$(BIN)/lineclear diagram actions -o docs/actions.md $(CHECK)
	$(BIN)/lineclear diagram matrix -o docs/matrix.md $(CHECK)
	$(BIN)/lineclear explain --page -o docs/findings.md $(CHECK)
	$(BIN)/lineclear policies --format markdown -o docs/policies.md $(CHECK)

check: $(DEVELOPMENT)  ## what `lineclear check` says
	$(BIN)/lineclear check

bench: $(DEVELOPMENT)  ## microseconds per scheduling step
	$(BIN)/python benchmarks/scheduler.py

clean:  ## remove the environment and every cache
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .lineclear
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(MADE):
	@test -n "$(PYTHON)" || { echo "lineclear needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 2; }
	@echo "making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv --clear $(VENV) || { echo "cannot make $(VENV): install Python's venv module (on Debian: apt-get install python3-venv)"; exit 2; }
	@# Dependency groups need pip 25.1; what ships with Python is often older.
	$(PIP) install --constraint constraints.txt --upgrade pip
	@touch $@

$(DEMO): $(MADE) pyproject.toml constraints.txt
	$(PIP) install $(QUICKLY) --constraint constraints.txt --editable ".[verify,gpu]"
	@touch $@

$(DEVELOPMENT): $(MADE) pyproject.toml constraints.txt
	$(PIP) install $(QUICKLY) --constraint constraints.txt --editable ".[verify,gpu]" --group dev
	@touch $(DEMO) $@
