# Graphyard's few verbs. Everything is made from nothing: `make up` needs Python >= 3.11 with its venv module, and git.
#
#   make up      the whole stack, and an agent in it    make test    everything that is checked
#   make down    all of it ended, state kept            make check   lint, types, import contracts
#   make chaos   all kills, a storm of them (an hour)   make bench   speed and memory, as a table
#   make images  what runs on a cluster, to a registry  make fast    what needs of a cluster its API only
#   make lock    resolve the dependencies anew
#
# With KUBECONFIG set, `make test` also tests on that cluster; without it those tests are skipped, and say so.

# Processes that run tests; one for each core is what their time limits were made for. On a cluster they also wait: three
# keep two cores busy, and four were too many for what has to start in time.
PYTHON ?= python3
JOBS ?= 2
CLUSTER_JOBS ?= 3
CLUSTER_TESTS ?= cluster and not chaos
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest $(if $(CI),--durations=25) --dist loadscope --no-loadscope-reorder --ignore=tests/benchmarks
ON_CLUSTER := tests/kubernetes tests/dataplane/kubernetes tests/deploy/helm
.DEFAULT_GOAL := help
.PHONY: help up down test test-here test-on-cluster check fast chaos bench images images-of-agents images-of-ours lock venv venv-dev

help:
	@sed -n 's/^#   //p' Makefile

up: venv
	@$(BIN)/graphyard up

down: venv
	@$(BIN)/graphyard down

test: check test-here test-on-cluster

test-here: venv-dev
	@$(PYTEST) -n $(JOBS) -m "not chaos and not cluster"

test-on-cluster: venv-dev
ifneq ($(KUBECONFIG),)
	@$(PYTEST) -n $(CLUSTER_JOBS) -m "$(CLUSTER_TESTS)" $(ON_CLUSTER)
else
	@echo "Not tested: the plane on Kubernetes. Set KUBECONFIG; the README says how (Check it on a cluster)."
endif

check: venv-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fast: venv-dev
	@$(PYTEST) -n $(JOBS) -m apilevel $(ON_CLUSTER)

chaos: venv-dev
	@$(BIN)/python -m pytest tests/chaos tests/drift tests/journeys/test_records_away.py \
	  tests/journeys/test_contract.py::test_the_exercise_with_its_own_cron $(if $(KUBECONFIG),tests/kubernetes/test_kills.py)

bench: venv-dev
	@$(BIN)/python -m pytest -s tests/benchmarks

# Each of the two mostly waits for one thing at a time: a package, a compressed layer.
images: venv
	@$(MAKE) --no-print-directory --jobs 2 images-of-agents images-of-ours

images-of-agents:
	@deploy/images/build $(IMAGES_FLAGS) server builder node

images-of-ours:
	@deploy/images/build $(IMAGES_FLAGS) graphyard temporal postgres valkey

# Always asked, and answered in milliseconds: only a changed lock, place or Python makes it work.
venv:
	@deploy/install.sh $(PYTHON) $(VENV) requirements.lock

venv-dev: venv
	@deploy/install.sh $(PYTHON) $(VENV) requirements-dev.lock

UV_LOCK := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml
lock: venv
	$(UV_LOCK) -o requirements.lock
	$(UV_LOCK) --group dev -o requirements-dev.lock
