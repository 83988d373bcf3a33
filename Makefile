# Everything a developer or CI runs. `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROTO_VENV := .venv-proto
PROTO_BIN := $(PROTO_VENV)/bin
BENCH_VENV := .venv-bench
RELEASE_VENV := .venv-release
RELEASE_BIN := $(RELEASE_VENV)/bin
PB := schedule_grpc/pb
# Hides pip's warnings, of which there is one a package where its configuration names a place that is not there.
PIP := pip --disable-pip-version-check install -qq
NEWER := import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")
SET_UP := $(PYTHON) -c '$(NEWER)' && $(PYTHON) -P .ci/set_up.py
# One runs the fault tests, which mostly wait (tests/conftest.py), the other two all the rest: on two cores.
WORKERS := --numprocesses 3
COVERAGE := --cov --cov-report=term
# The contract as clients have it: the copy of protos/ that the newest release was made with, and what `make lint` holds
# protos/ to (buf's category FILE: nothing is removed or renamed). A copy, because a commit to compare with is not there
# in every clone, is HEAD itself on main, and lets a break pass as soon as it is merged. Replaced by `make released`
# only; until 0.1.0 is released, it is the contract that was decided for it.
RELEASED := .ci/contract
KEYED := tests/api tests/clients tests/http tests/cli tests/compat
CODE := schedule_grpc tests examples benchmarks .ci

.DEFAULT_GOAL := help
DOCKER ?= docker
IMAGE ?= schedule-grpc
VERSION = $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml)

.PHONY: help run dev test quick keyed test-watch soak coverage check format lint typecheck proto proto-check released bench \
	bench-quick screenshots lock dist image clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/runs ## set up what running needs in .venv and serve with the built-in tasks (./schedule.db)
	$(BIN)/schedule-grpc serve --init

dev: $(VENV)/ready ## the same, started anew whenever the code changes
	$(BIN)/watchmedo auto-restart --directory schedule_grpc --pattern '**/*.py;**/*.sql' --recursive --signal SIGTERM \
		-- $(BIN)/schedule-grpc serve --init

test: $(VENV)/ready $(PROTO_VENV)/ready ## set up .venv and run the whole test suite
	$(BIN)/pytest $(WORKERS) $(PYTEST_OPTIONS)

quick: $(VENV)/ready ## the tests of units, store and engine, on SQLite only: within a minute
	$(BIN)/pytest $(WORKERS) -m 'not postgresql and not slow' tests/unit tests/store tests/engine

test-watch: $(VENV)/ready $(PROTO_VENV)/ready ## run the tests again whenever a file changes
	$(BIN)/ptw . --now --runner $(BIN)/pytest --patterns '**/*.py,**/*.sql'

soak: $(VENV)/ready ## the fault tests at full length: 200 kills and more, about fifteen minutes
	FAULTS=long $(BIN)/pytest tests/faults tests/properties tests/conformance tests/browser --timeout 1800 -o log_cli=true --log-cli-level=INFO

bench: $(VENV)/ready $(BENCH_VENV)/ready ## measure everything beside its peers, an hour or two; BENCH="--only burst" for one
	$(BIN)/python -m benchmarks --json build/bench.json --plot build/curve.svg $(BENCH)

bench-quick: $(VENV)/ready $(BENCH_VENV)/ready ## the same in small sizes, under 90 seconds: a hint, not a result
	$(BIN)/python -m benchmarks --quick $(BENCH)

screenshots: $(VENV)/ready ## take the pictures of docs/dashboard, of a made-up day (needs chromium)
	PYTHONPATH=examples/dashboard $(BIN)/python examples/dashboard/screenshots.py

coverage: PYTEST_OPTIONS = $(COVERAGE)
coverage: test ## the suite with branch coverage, at least 90 %

format: $(VENV)/ready ## format the code and the contract
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/buf format -w protos

lint: $(VENV)/ready ## format check, ruff, import-linter, buf lint and buf breaking
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/lint-imports
	$(BIN)/buf lint protos
	$(BIN)/buf format --diff --exit-code protos
	$(BIN)/buf breaking protos --against $(RELEASED)

typecheck: $(VENV)/ready ## mypy --strict
	$(BIN)/mypy

proto: $(PROTO_VENV)/ready ## generate schedule_grpc/pb from protos/
	$(PROTO_BIN)/python -P .ci/generate.py $(PB)

proto-check: $(PROTO_VENV)/ready ## is schedule_grpc/pb what protos/ says?
	@rm -rf build/pb && mkdir -p build/pb
	$(PROTO_BIN)/python -P .ci/generate.py build/pb
	@for file in build/pb/*; do cmp $$file $(PB)/$$(basename $$file) || { echo "run make proto"; exit 1; }; done

released: $(VENV)/ready ## part of a release: later contracts are held to protos/ as it is now
	$(BIN)/buf breaking protos --against $(RELEASED)
	cp protos/schedule/v1/*.proto $(RELEASED)/schedule/v1/

keyed: $(VENV)/ready ## the tests that call servers, at servers that ask every caller for a key: about two minutes
	$(BIN)/pytest $(WORKERS) --keyed $(KEYED)

# Of the suite with keys only calls of each kind: CI has 20 minutes on a slow machine. For the same reason coverage, which
# takes a quarter of the time more, has a command of its own. The last step is the README's test command.
CALLS_WITH_KEYS := tests/compat $(patsubst %,tests/api/test_%.py,rpcs task_rpcs execution_rpcs workers keyed_run)
check: lint typecheck proto-check ## everything CI checks, ending in the tests
	$(MAKE) --no-print-directory keyed KEYED="-m 'not slow' $(CALLS_WITH_KEYS)"
	$(MAKE) --no-print-directory test

COMPILE := build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-annotate

# What runs is a part of what is tested: of the same versions, so that `make test` adds to what `make run` has set up.
lock: ## resolve all requirements*.lock anew
	rm -rf build/lock && $(PYTHON) -m venv build/lock && build/lock/bin/$(PIP) uv
	$(COMPILE) --all-extras --group dev pyproject.toml --output-file requirements.lock
	$(COMPILE) --group run pyproject.toml --constraint requirements.lock --output-file requirements-run.lock
	$(COMPILE) --group pyproject.toml:proto --output-file requirements-proto.lock
	$(COMPILE) --group pyproject.toml:bench --output-file requirements-bench.lock
	$(COMPILE) --group pyproject.toml:release --output-file requirements-release.lock

# The second build is made of the first one's sdist, elsewhere, later and under another umask: its packages are the same.
dist: $(VENV)/runs $(RELEASE_VENV)/ready ## build wheel, sdist and SBOM, build them again, install the wheel, serve, stop
	rm -rf build/dist build/again dist
	$(RELEASE_BIN)/python -P .ci/build.py $(BIN)/python dist build/again
	$(RELEASE_BIN)/twine --no-color check --strict dist/*
	$(PYTHON) -m venv --without-pip build/dist
	sed -nE 's/^([A-Za-z0-9._-]+==[^ ;]+).*/\1/p' requirements.lock > build/dist/constraints.txt
	$(RELEASE_BIN)/pip --python build/dist/bin/python install -qq --constraint build/dist/constraints.txt dist/*.whl
	build/dist/bin/python -P .ci/try_wheel.py
	$(RELEASE_BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --validate \
		--output-file dist/schedule-grpc.cdx.json build/dist/bin/python

image: ## build the container image; DOCKER=podman, IMAGE=registry.example/schedule-grpc
	$(DOCKER) build --file deploy/Dockerfile --build-arg VERSION=$(VERSION) \
		--build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null) --tag $(IMAGE):$(VERSION) --tag $(IMAGE) .

clean: ## remove what the other targets made, but no database
	rm -rf $(VENV) $(PROTO_VENV) $(BENCH_VENV) $(RELEASE_VENV) build dist htmlcov .coverage* .mypy_cache .pytest_cache \
		.ruff_cache .import_linter_cache

# make PYTHON=python3.13 test: an environment of another Python is set up anew.
ifeq ($(origin PYTHON),command line)
THIS_PYTHON := $(shell $(PYTHON) -c 'import sys; print(sys.version)')
ifneq ($(THIS_PYTHON),$(shell $(BIN)/python -c 'import sys; print(sys.version)' 2>&1))
OTHER_PYTHON := other-python
endif
endif
.PHONY: other-python
other-python:

# One environment that grows: `make run` needs half of the packages, and what is developed is what runs.
$(VENV)/runs: requirements-run.lock pyproject.toml $(OTHER_PYTHON)
	@$(SET_UP) $(VENV) requirements-run.lock --editable
	@touch $@

$(VENV)/ready: requirements.lock $(VENV)/runs
	@$(SET_UP) $(VENV) requirements.lock --add
	@touch $@

$(PROTO_VENV)/ready $(BENCH_VENV)/ready $(RELEASE_VENV)/ready: .venv-%/ready: requirements-%.lock
	@$(SET_UP) .venv-$* $<
	@touch $@
