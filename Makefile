# Keyhole's tasks. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.keyhole-setup
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# What the tests import: the built wheel, unpacked, in front of everything else on the path.
WHEEL := $(CURDIR)/build/wheel

.PHONY: help setup demo serve check lint format test test-quick test-e2e wheel servers viewer messages mutants bench lock clean

help: ## list these tasks
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(SETUP) ## make .venv from the lock file, with .venv/bin/keyhole

$(SETUP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Keyhole needs Python 3.11 or newer")'
	@test -x $(BIN)/python || { echo "creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing what requirements.lock names into $(VENV)"
	@$(PIP) install --require-hashes --only-binary :all: --requirement requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@

demo: setup ## bring the viewer, write a sample archive, start Keyhole and print a link
	@$(BIN)/keyhole demo

check: lint ## formatting, ruff, mypy --strict, import contracts and the quick tests
	@HYPOTHESIS_PROFILE=quick $(BIN)/python -m pytest -q -n auto -m "not e2e and not slow"

lint: setup
	@$(BIN)/ruff format --check --quiet . || { echo "run: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@PYTHONPATH=src $(BIN)/lint-imports --no-logo

format: setup ## format the code and mend what ruff can mend
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix --quiet . || true

wheel: setup ## build the wheel and unpack it for the tests
	@rm -rf dist $(WHEEL)
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist . >/dev/null
	@$(PIP) install --no-deps --no-index --no-compile --target $(WHEEL) dist/*.whl

servers: ## install the real servers and the browser that the tests use (Debian, as root)
	@scripts/install-test-servers.sh

viewer: wheel ## bring the viewer into its cache
	@PYTHONPATH=$(WHEEL) $(BIN)/python -m tests.servers.viewer

test: lint test-quick test-e2e ## everything: the checks, every test, real servers and a real browser

# What decides is covered whole by its own tests; measuring everything would take twice as long.
CORE := tests/access tests/dicom tests/sharing

test-quick: wheel
	@PYTHONPATH=$(WHEEL) KEYHOLE_WHEEL=$(WHEEL) $(BIN)/python -m coverage run -m pytest -q $(CORE)
	@$(BIN)/python -m coverage report --fail-under=100 \
	  --include='*/keyhole/access/*,*/keyhole/dicom/*,*/keyhole/sharing/*'
	@PYTHONPATH=$(WHEEL) KEYHOLE_WHEEL=$(WHEEL) $(BIN)/python -m pytest -q -n auto -m "not e2e" \
	  $(addprefix --ignore=,$(CORE))

# By file: tests of one file share their servers and their browser. What drives a browser runs in processes of its own.
test-e2e: wheel servers viewer
	@PYTHONPATH=$(WHEEL) KEYHOLE_WHEEL=$(WHEEL) $(BIN)/python -m pytest -q -n 2 --dist loadfile -m "e2e and not browser"
	@PYTHONPATH=$(WHEEL) KEYHOLE_WHEEL=$(WHEEL) $(BIN)/python -m pytest -q -n 2 --dist loadfile -m "e2e and browser"

messages: setup ## bring the texts of every language in step with the code, and say what is to be translated
	@PYTHONPATH=src $(BIN)/python scripts/messages.py

mutants: setup build/mutants/installed ## change what decides in small ways, and see whether a test notices (half an hour)
	@PYTHONPATH=$(CURDIR)/build/mutants nice -n 19 $(BIN)/python scripts/mutants.py

build/mutants/installed: scripts/mutants.lock
	@rm -rf build/mutants
	@$(PIP) install --require-hashes --only-binary :all: --no-deps --target build/mutants --requirement scripts/mutants.lock
	@touch $@

bench: setup ## measure, side by side in one run
	@for bench in bench/*.py; do echo "== $$bench"; $(BIN)/python $$bench; done

lock: ## resolve the dependencies anew (needs uv)
	uv pip compile --quiet --universal --upgrade --generate-hashes --no-annotate --no-header \
	  --group dev pyproject.toml --output-file requirements.lock
	uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header \
	  --constraints requirements.lock pyproject.toml --output-file deploy/requirements.lock

clean: ## remove what was built; caches outside the tree stay
	rm -rf build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
