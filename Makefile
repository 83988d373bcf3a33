# Everything a developer or CI runs. `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROTO_VENV := .venv-proto
PROTO_BIN := $(PROTO_VENV)/bin
BENCH_VENV := .venv-bench
PB := schedule_grpc/pb
PIP := pip --disable-pip-version-check install --quiet
# The locks name everything. Without --no-deps pip resolves again, and fails once a package that another one wants with
# an extra (coverage[toml]) has a newer release than the locked one: https://github.com/pypa/pip/issues/9644
LOCKED := --no-deps --require-hashes --requirement
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
.PHONY: help run dev test quick keyed test-watch soak coverage check format lint typecheck proto proto-check released bench \
	bench-quick lock dist clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/ready ## set up .venv and serve with the built-in tasks (./schedule.db)
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
	FAULTS=long $(BIN)/pytest tests/faults tests/properties tests/conformance --timeout 1800 -o log_cli=true --log-cli-level=INFO

bench: $(VENV)/ready $(BENCH_VENV)/ready ## measure everything beside its peers, an hour or two; BENCH="--only burst" for one
	$(BIN)/python -m benchmarks --json build/bench.json --plot build/curve.svg $(BENCH)

bench-quick: $(VENV)/ready $(BENCH_VENV)/ready ## the same in small sizes, under 90 seconds: a hint, not a result
	$(BIN)/python -m benchmarks --quick $(BENCH)

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

# Of the suite with keys only the part that takes half a minute: CI has 20 minutes on a slow machine.
# The last step is the README's test command; the coverage threshold rides along.
check: lint typecheck proto-check ## everything CI checks, ending in the tests
	$(MAKE) --no-print-directory keyed KEYED="-m 'not slow' tests/api tests/compat"
	$(MAKE) --no-print-directory test PYTEST_OPTIONS="$(COVERAGE)"

lock: ## resolve requirements.lock, requirements-proto.lock and requirements-bench.lock anew
	rm -rf build/lock && $(PYTHON) -m venv build/lock && build/lock/bin/$(PIP) uv
	build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-annotate --all-extras --group dev pyproject.toml --output-file requirements.lock
	build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-annotate --group pyproject.toml:proto --output-file requirements-proto.lock
	build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-annotate --group pyproject.toml:bench --output-file requirements-bench.lock

dist: $(VENV)/ready ## build the wheel, install it into an empty environment, serve, stop
	rm -rf build/dist dist
	$(BIN)/python -m build --no-isolation --outdir dist
	$(PYTHON) -m venv build/dist
	sed -nE 's/^([A-Za-z0-9._-]+==[^ ;]+).*/\1/p' requirements.lock > build/dist/constraints.txt
	build/dist/bin/$(PIP) --constraint build/dist/constraints.txt dist/*.whl
	build/dist/bin/python -P .ci/try_wheel.py

clean: ## remove what the other targets made, but no database
	rm -rf $(VENV) $(PROTO_VENV) $(BENCH_VENV) build dist htmlcov .coverage* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(VENV)/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	@echo "setting up $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/$(PIP) $(LOCKED) requirements.lock
	@$(BIN)/$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(PROTO_VENV)/ready: requirements-proto.lock
	@echo "setting up $(PROTO_VENV)"
	@$(PYTHON) -m venv --clear $(PROTO_VENV)
	@$(PROTO_BIN)/$(PIP) $(LOCKED) requirements-proto.lock
	@touch $@

$(BENCH_VENV)/ready: requirements-bench.lock
	@echo "setting up $(BENCH_VENV)"
	@$(PYTHON) -m venv --clear $(BENCH_VENV)
	@$(BENCH_VENV)/bin/$(PIP) $(LOCKED) requirements-bench.lock
	@touch $@
