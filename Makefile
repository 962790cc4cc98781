# `make run` and `make test` are all that a fresh machine needs: Python 3.11+, make, and a network for packages.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
NATIVE := $(shell find src -name '*.pyx' -o -name '*.pxd')
COMPILED := .venv/.compiled

.PHONY: setup local run test test-all check bench bench-gateway lock clean

setup: $(READY) $(COMPILED)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

$(COMPILED): $(READY) setup.py $(NATIVE) $(wildcard $(patsubst %.pxd,%.py,$(NATIVE)))
	$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $(COMPILED)

local: setup        ## the optional extra: a real engine and a small model, for `host bench` and its tests
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints-local.txt

run: setup          ## the main job: price usage here and everywhere else (ARGS="replay FILE" for your own)
	$(BIN)/farthing $(or $(ARGS),replay)

test: setup         ## the tests, without the slow ones
	$(BIN)/python -m pytest -m "not slow"

test-all: setup     ## every test
	$(BIN)/python -m pytest

check: setup        ## style, strict types, import layers, docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_docs.py

bench: setup        ## every claim of speed, as ratios measured side by side
	$(BIN)/python -m benchmarks

bench-gateway: setup    ## the gateway beside others, each on one core (PEERS=litellm,smg; benchmarks.gateway.install)
	$(BIN)/python -m benchmarks.gateway $(if $(PEERS),--peers $(PEERS))

lock: setup         ## refresh constraints.txt (with hashes; it names no address)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	printf "setuptools==82.0.1\ncython==3.3.1\n" | $(BIN)/uv pip compile pyproject.toml - --extra dev --generate-hashes --no-header \
	  --no-annotate --universal --python-version 3.11 -o constraints.txt
	sed -n 's/^local = \[//p' pyproject.toml | tr -d '"] ' | tr , '\n' | $(BIN)/uv pip compile - --generate-hashes \
	  --no-header --no-annotate --universal --python-version 3.11 -o constraints-local.txt

clean:
	find src -name '*.so' -delete -o -name '*.c' -delete
	rm -rf .venv build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
