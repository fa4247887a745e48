# `make demo` shows Vestibule at work; `make test` proves it. Each sets up all that it needs (once), on a fresh Debian
# with Python 3.11 or newer. ARGS=... goes to the command, PYTHON=... chooses the interpreter for .venv.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
# Two workers: two cores are what a small machine has, and more would only queue for the disk.
WORKERS ?= 2
SPREAD := -n $(WORKERS) --dist worksteal
ARGS ?=
FUZZ_SECONDS ?= 60
export PYTHON HASHES

.PHONY: help setup system-deps engines demo lint check test bench torture fuzz clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: ## create .venv with the pinned packages (the other targets do it by themselves)
	@scripts/setup.sh

system-deps: ## mosquitto, gcc and mono, which the tests use
	@scripts/system-deps.sh

engines: ## Godot 4 and C# (Unity's profile), in the user's cache; the tests of the plugins use them
	@scripts/engines.sh

demo: setup ## a whole clinic in a minute, with simulated people and no hardware
	@exec $(BIN)/vestibule demo $(ARGS)

lint: setup
	@echo "[vestibule] ruff: format and rules" >&2
	@$(BIN)/ruff format --quiet --check --output-format concise . || { echo "[vestibule] not formatted; run: $(BIN)/ruff format ." >&2; exit 1; }
	@$(BIN)/ruff check --quiet --output-format concise .
	@echo "[vestibule] mypy --strict" >&2
	@$(BIN)/mypy --no-error-summary

check: lint ## before each commit, under 90 s: format, rules, types, fast tests
	@echo "[vestibule] fast tests" >&2
	@VESTIBULE_HYPOTHESIS=$${VESTIBULE_HYPOTHESIS:-check} \
	  $(PYTEST) -q $(SPREAD) -m "not slow and not torture" tests/arch tests/unit tests/property tests/vectors tests/sim $(ARGS)

test: system-deps engines lint ## everything that proves an acceptance: check, and with real servers, crashes and fuzzing
	@echo "[vestibule] all tests (a few minutes)" >&2
	@VESTIBULE_FUZZ_SECONDS=$${VESTIBULE_FUZZ_SECONDS:-5} $(PYTEST) -q $(SPREAD) -m "not torture" --ignore=tests/bench tests $(ARGS)

bench: setup ## measure; figures on the screen and in tests/bench/out
	@$(PYTEST) -q -s -p no:xdist tests/bench $(ARGS)

torture: system-deps engines setup ## the long forms, with their numbers; takes hours
	@$(PYTEST) -v -m torture tests $(ARGS)

fuzz: setup ## FUZZ_SECONDS=60 for each parser
	@VESTIBULE_HYPOTHESIS=fuzz VESTIBULE_FUZZ_SECONDS=$(FUZZ_SECONDS) $(PYTEST) -q $(SPREAD) -m "not torture" tests/fuzz $(ARGS)

clean: ## remove what was made here, .venv included
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/bench/out
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
