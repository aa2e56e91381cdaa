# Everything that a checkout needs.  `make` alone prints what there is.

VENV ?= .venv
PYTHON := "$(VENV)/bin/python"
#: Tests at the same time: most of them wait for something most of the time.
TESTERS ?= 6
#: Seconds that a chaos run or a soak lasts, and the seed of its faults.
SECONDS ?= 1800
SEED ?= 1
#: The release from which `make rolling` upgrades.
FROM ?= 5efc9e3

.DEFAULT_GOAL := help
.PHONY: help run test properties fresh lint format schema validate chaos mutations failover rolling matrix soak steady bench bench-peers clean for-run for-test

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: for-run  ## an instance, on an embedded PostgreSQL if DATABASE_URL is not set
	@exec $(PYTHON) -P -m kronii run --embedded

test: for-test  ## all tests, on a real PostgreSQL, with branch coverage
	@$(PYTHON) -m pytest --numprocesses $(TESTERS) --cov --cov-report=term $(ARGS)

properties: for-test  ## the unit tests, with all examples of what holds for every expression, zone and file
	@KRONII_TEST_PROPERTIES=all $(PYTHON) -m pytest --numprocesses $(TESTERS) tests/unit $(ARGS)

lint: for-test  ## ruff and mypy --strict
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy

format: for-test  ## lay the code out
	@$(PYTHON) -m ruff format .
	@$(PYTHON) -m ruff check --fix .

schema: for-run  ## write jobs.schema.json anew, from the rules of the loader
	@$(PYTHON) -m kronii.definitions.jsonschema > jobs.schema.json.new && mv jobs.schema.json.new jobs.schema.json

validate: for-run  ## check jobs.yaml
	@$(PYTHON) -m kronii validate

chaos: for-test  ## all faults mixed for SECONDS (1800), drawn from SEED (1)
	@$(PYTHON) -m tests.chaos --seconds $(SECONDS) --seed $(SEED)

mutations: for-test  ## take each remedy out, and see its test fail
	@$(PYTHON) -m tests.chaos.mutations --testers 3 $(ARGS)

failover: for-test  ## 200 kill -9 in a row on three instances
	@$(PYTHON) -m tests.chaos.failover

rolling: for-test  ## a fleet of the release FROM is upgraded under load, one by one
	@$(PYTHON) -m tests.chaos.rolling --from $(FROM) $(ARGS)

matrix: for-test  ## the tests on each PostgreSQL and Python that can be had
	@$(PYTHON) -m tests.matrix $(ARGS)

soak: for-test  ## steady load for SECONDS (1800): memory, threads, connections, descriptors
	@$(PYTHON) -m tests.chaos.soak --seconds $(SECONDS)

steady: for-test  ## three instances and sixty jobs for SECONDS (1800), judged by the jobs' own record
	@$(PYTHON) -m tests.steady --seconds $(SECONDS)

bench: for-test  ## every figure of docs/performance.md; ARGS names some of them
	@$(PYTHON) -m bench $(ARGS)

bench-peers: for-test  ## the same work on APScheduler, procrastinate, pgqueuer and Celery
	@$(PYTHON) -m bench.peers $(ARGS)

fresh:  ## both commands in a minimal Debian 12 that it makes with debootstrap; before a release
	@tests/fresh/run $(ARGS)

clean:  ## remove what was installed and built, and the embedded server's data
	@.ci/clean
	@VENV="$(VENV)" .ci/venv clean
	@rm -rf build dist .kronii-matrix *.egg-info .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .kronii-peers
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

for-run:
	@VENV="$(VENV)" .ci/venv run

for-test:
	@VENV="$(VENV)" .ci/venv test

# A checkout that can't be written to: what the tools keep goes to where they are installed.
ifeq ($(shell test -w . && echo writable),)
export COVERAGE_FILE := $(VENV)/.coverage
export HYPOTHESIS_STORAGE_DIRECTORY := $(VENV)/.hypothesis
export MYPY_CACHE_DIR := $(VENV)/.mypy_cache
export PYTEST_ADDOPTS += -p no:cacheprovider
export PYTHONDONTWRITEBYTECODE := 1
export RUFF_CACHE_DIR := $(VENV)/.ruff_cache
endif
