# Graphyard's few verbs. Everything is made from nothing: `make up` needs Python >= 3.11 with its venv module, and git.
#
#   make up      the whole stack, and an agent in it    make test    everything that is checked
#   make down    all of it ended, state kept            make check   lint, types, import contracts
#   make chaos   all kills, a storm of them (an hour)   make bench   speed and memory, as a table
#   make lock    resolve the dependencies anew

# Processes that run tests; one for each core is what their time limits were made for.
PYTHON ?= python3
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help up down test check chaos bench lock venv venv-dev

help:
	@sed -n 's/^#   //p' Makefile

up: venv
	@$(BIN)/graphyard up

down: venv
	@$(BIN)/graphyard down

test: check
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder -m "not chaos" --ignore=tests/benchmarks

check: venv-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

chaos: venv-dev
	@$(BIN)/python -m pytest tests/chaos tests/drift tests/journeys/test_records_away.py \
	  tests/journeys/test_contract.py::test_the_exercise_with_its_own_cron

bench: venv-dev
	@$(BIN)/python -m pytest -s tests/benchmarks

# Always asked, and answered in milliseconds: only a changed lock, place or Python makes it work.
venv:
	@deploy/install.sh $(PYTHON) $(VENV) requirements.lock

venv-dev: venv
	@deploy/install.sh $(PYTHON) $(VENV) requirements-dev.lock

UV_LOCK := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml
lock: venv
	$(UV_LOCK) -o requirements.lock
	$(UV_LOCK) --group dev -o requirements-dev.lock
