# The commands of a checkout. Each works as the first one on a machine that has git, make, Python >= 3.11 and the
# system libraries that the README names: what is missing is installed into the checkout (.venv, .uv), nowhere else.

.DELETE_ON_ERROR:
.PHONY: help quickstart paper-small test test-slow lint audit bench chaos robosuite lock clean

# Without compiled files every Ray process compiles everything anew (ray.init: 16 s and more instead of 5 s).
unexport PYTHONDONTWRITEBYTECODE
# Packages that other software put there (ROS does) would come before ours.
unexport PYTHONPATH
# The machine's own certificates, as git and pip: a company's proxy has its own.
export UV_SYSTEM_CERTS ?= 1

BIN := .venv/bin
UV := $(or $(shell uv --version >/dev/null 2>&1 && command -v uv),.uv/bin/uv)
PIP_OPTIONS := --quiet --disable-pip-version-check --root-user-action ignore --require-hashes -r .uv/requirements.txt
LOCK_OPTIONS := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make lock" --quiet
# Tests are many small computations: threads would only wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest

help:  ## this list
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

quickstart: .venv/ready  ## a real grid, from nothing to success rates: minutes on 2 cores
	$(BIN)/worldgrid run experiments/quickstart.yaml

paper-small: .venv/ready  ## the study at the size of 2 cores, and a verdict on each of its findings; goes on where it ended
	$(BIN)/worldgrid run experiments/paper/small
	$(BIN)/worldgrid report experiments/paper/small --reference experiments/paper/reference.csv

test: .venv/ready  ## all tests that take seconds
	$(PYTEST) -m "not slow and not soak"

test-slow: .venv/ready  ## the tests that take minutes
	$(PYTEST) -m "slow and not soak" || [ $$? -eq 5 ]  # 5: there are none

lint: .venv/ready  ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

audit: $(UV)  ## known vulnerabilities of the locked packages; only says so where OSV cannot be reached
	@python3 .ci/audit.py $(UV) requirements.lock

bench: .venv/ready  ## how fast the pieces are on this machine: a table, and build/bench.json
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.bench

chaos: .venv/ready  ## the tests that kill processes and nodes for long; CHAOS_KILLS and CHAOS_SEED vary them
	CHAOS_KILLS=$${CHAOS_KILLS:-200} $(PYTEST) -m soak -s

robosuite: .robosuite/ready  ## what env robosuite runs in: a Python of its own in .robosuite (1.1 GB)

lock: $(UV)  ## write the locks anew from pyproject.toml, keeping the versions that still fit
	$(UV) pip compile pyproject.toml --all-extras --group dev $(LOCK_OPTIONS) -o requirements.lock
	$(UV) pip compile --group robosuite $(LOCK_OPTIONS) -o requirements-robosuite.lock

clean:  ## everything that make installed or built; the store stays
	rm -rf .venv .robosuite .uv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/ready: requirements.lock pyproject.toml | .venv/bin/python
	@echo "Installing the packages of requirements.lock into .venv"
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.venv/bin/python: | $(UV)
	@echo "Making .venv"
	@rm -rf .venv
	@$(UV) venv --quiet .venv

# NumPy below 2 has no wheels for Python 3.13; --no-deps: the lock leaves out what only windows and keyboards need.
.robosuite/ready: requirements-robosuite.lock | $(UV)
	@echo "Installing the packages of requirements-robosuite.lock into .robosuite"
	@rm -rf .robosuite
	@$(UV) venv --quiet --python ">=3.11,<3.13" .robosuite
	@$(UV) pip install --quiet --python .robosuite/bin/python --require-hashes --no-deps -r requirements-robosuite.lock
	@touch $@

.uv/bin/uv:
	@echo "Installing uv into .uv"
	@rm -rf .uv
	@mkdir .uv
	@sed -n '/^uv==/,/# via/p' requirements.lock > .uv/requirements.txt
	@if python3 -m pip --version >/dev/null 2>&1; then \
		python3 -m pip install $(PIP_OPTIONS) --target .uv; \
	elif python3 -m venv .uv >/dev/null 2>&1; then \
		.uv/bin/python -m pip install $(PIP_OPTIONS); \
	else \
		echo "python3 has neither pip nor venv: install one of them, or uv" >&2; exit 1; \
	fi
