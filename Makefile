# The engine's commands; `make` alone lists them.

PORT ?= 3000
STAGE ?= dev
PARAMETERS ?=
ARGS ?=
SEEDS ?= 100
FIRST ?= 1
ORDERS ?= 5000
NAMES ?=
DIR ?= tests/data/vectors
# The first of these that is Python 3.11.
PYTHON := $(firstword $(foreach name,python3.11 python3 python,$(shell $(name) -c 'import sys; sys.version_info[:2] == (3, 11) and print("$(name)")' 2>/dev/null)))
BIN := .venv/bin
# Names the requirements that the environment was made from.
STAMP := .venv/.made
SOURCES := app.py benchmarks chalicelib infrastructure local operations tests

export PORT

.DEFAULT_GOAL := help
.PHONY: help venv run operate test simulate vectors overload bench lint lint-template format package migrate deploy clean

help:  ## List these commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

$(STAMP): requirements.txt requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 is needed, as python3.11 or python3" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "making .venv with $(PYTHON)"; $(PYTHON) -m venv .venv; }
	@echo "installing requirements-dev.txt"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@

venv: $(STAMP)  ## Make the virtual environment

run: $(STAMP)  ## Run the whole engine here, on http://localhost:$PORT
	@$(BIN)/python -m local.run

operate: $(STAMP)  ## Look after orders: ARGS="list | explain ID | resume ID … | repeat ID", and keys: ARGS="keys …"
	@$(BIN)/python -m operations $(ARGS)

test: lint  ## Run every check and test
	$(BIN)/python -m pytest

simulate: $(STAMP)  ## Run SEEDS simulations with faults from seed FIRST on; one of them WITHOUT="a safeguard"
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) --first $(FIRST) $(if $(WITHOUT),--without "$(WITHOUT)")

vectors: $(STAMP)  ## Compare pools with answers of the real programs, in DIR
	@$(BIN)/python -m tests.vectors "$(DIR)"

overload: $(STAMP)  ## Post ORDERS orders as fast as they are taken, to a stack of its own
	@$(BIN)/python -m benchmarks.overload --orders $(ORDERS)

bench: $(STAMP)  ## Measure, all or NAMES="drain …", and write docs/performance.md
	@$(BIN)/python -m benchmarks $(NAMES)

lint: $(STAMP)  ## Check style, types and the direction of imports
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

lint-template: $(STAMP)  ## Check the template, as packaged and as translated
	$(BIN)/python -m infrastructure.lint

format: $(STAMP)  ## Format the sources
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

package: $(STAMP)  ## Build the template and the archive in build/
	$(BIN)/python -m infrastructure.package

migrate: $(STAMP)  ## Migrate the database at $DATABASE_URL
	@$(BIN)/python -m local.migrate

deploy: $(STAMP)  ## Deploy the stack order-engine-$STAGE with PARAMETERS="NAME=VALUE …"
	@$(BIN)/python -m infrastructure.deploy --stack order-engine-$(STAGE) --parameters $(PARAMETERS)

clean:  ## Remove what was built; data in .local stays
	rm -rf build .chalice/deployments .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
