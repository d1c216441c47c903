# plainsql's commands, from a machine with only Python 3.11 and make. `make` alone lists them.
#
#   make test ARGS="-k cache -x"     what stands in ARGS goes to the command behind the target
#   make demo PYTHON=python3.12      which Python the environment is made with

.DEFAULT_GOAL := help
.NOTPARALLEL:

PYTHON ?=
ARGS ?=
SERVER ?=
VERSION ?=
BIN := .venv/bin
SQL := $(wildcard sql migrations)
WORKFLOWS := $(wildcard .github/workflows)
# At most eight, as each worker has servers of its own.
WORKERS := -n logical --maxprocesses 8 --dist worksteal

# make test COVERAGE=yes: measured, in the workers and in what they start as well.
COVERAGE ?=
MEASURED := $(if $(COVERAGE),-m coverage run)

# An outer environment must not reach into .venv.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP VIRTUAL_ENV
export PYTHON

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# -- The two commands to begin with

.PHONY: demo
demo: environment-demo ## Set everything up and show plainsql at work
	@$(BIN)/plainsql demo $(ARGS)
	@echo "demo: ok"

.PHONY: test
test: environment-dev servers ## Set up what the tests need and run them
	@$(BIN)/python $(MEASURED) -m pytest $(WORKERS) $(ARGS)
	@echo "test: ok"

.PHONY: test-asan
test-asan: environment-dev servers ## Run the tests of garbled messages with sanitizers in the compiled part
	@sh scripts/test_asan.sh $(ARGS)

.PHONY: test-plain
test-plain: environment-dev servers ## Run what depends on the compiled part without it
	@sh scripts/test_plain.sh $(ARGS)

.PHONY: coverage coverage-report
coverage: ## Run the tests and report which lines and branches of the package they reach
	@$(BIN)/coverage erase 2>/dev/null || true
	@$(MAKE) --no-print-directory test COVERAGE=yes
	@$(MAKE) --no-print-directory coverage-report

coverage-report: ## Report what the last `make test COVERAGE=yes` has measured
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

.PHONY: test-system
test-system: servers ## Run what reads SQL on the system's Python, if it is 3.11.0 to 3.11.4
	@sh scripts/test_system.sh $(ARGS)

.PHONY: test-server
test-server: environment-dev servers ## Run what needs no embedded server on the PostgreSQL of the URL in SERVER
	@SERVER="$(SERVER)" sh scripts/test_server.sh $(ARGS)

.PHONY: test-asyncpg
test-asyncpg: environment-dev servers ## Run every form of a call on the oldest asyncpg, or the one in VERSION
	@VERSION="$(VERSION)" sh scripts/test_asyncpg.sh $(ARGS)

.PHONY: soak
soak: environment-dev servers ## Run the soaks: also the tests that take a minute each
	@$(BIN)/python -m pytest --soak tests/benchmarks/test_fault_soak.py tests/cache/test_soak.py tests/database/test_tenant_isolation.py $(ARGS)

# -- The project's own SQL

.PHONY: migrate
migrate: environment-demo ## Bring a database up to the migrations
	@$(BIN)/plainsql migrate $(ARGS)

.PHONY: check
check: environment-demo ## Check every query, plan and rollback against PostgreSQL, and what is generated
	@$(BIN)/plainsql check --schema $(ARGS)
	@$(BIN)/plainsql generate --check
	@$(BIN)/plainsql plans --check --strict
	@$(BIN)/plainsql migrate verify
	@$(BIN)/plainsql migrate schema --check
	@echo "check: ok"

.PHONY: review
review: environment-dev servers ## Write the review site of every query to build/review, and open it in Chromium
	@$(BIN)/plainsql review -o build/review $(ARGS)
	@PLAINSQL_REVIEW_SITE=yes $(BIN)/python -m pytest -q tests/review/test_review_command.py -k all_layers
	@echo "review: ok, in build/review"

.PHONY: generate
generate: environment-demo ## Write the Python modules of the queries, and the schema of the migrations
	@$(BIN)/plainsql generate $(ARGS)
	@$(BIN)/plainsql migrate schema

# -- Working on plainsql

.PHONY: speed
speed: environment-dev ## Build the compiled part, and fail if that is not possible
	@PLAINSQL_SPEED_BUILD=require $(BIN)/python scripts/build_speed.py

.PHONY: lint
lint: environment-dev node ## Check style, types, SQL and workflows
	@echo "lint: ruff";     $(BIN)/ruff check .
	@echo "lint: format";   $(BIN)/ruff format --check --quiet . || { echo "lint: run 'make format'"; exit 1; }
	@echo "lint: mypy";     $(BIN)/mypy
	@echo "lint: pyright";  $(BIN)/pyright
	@$(if $(SQL),echo "lint: sqlfluff"; $(BIN)/sqlfluff lint --processes 0 --disable-progress-bar $(SQL))
	@$(if $(WORKFLOWS),echo "lint: zizmor"; $(BIN)/zizmor --offline --quiet --no-progress $(WORKFLOWS))
	@echo "lint: ok"

.PHONY: format
format: environment-dev ## Rewrite Python and SQL in the house style
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .
	@$(if $(SQL),$(BIN)/sqlfluff fix --processes 0 --disable-progress-bar --quiet $(SQL))

.PHONY: docs
docs: environment-docs ## Build the documentation as a site (ARGS=serve: and serve it)
	@$(BIN)/python scripts/docs_site.py $(ARGS)
	@echo "docs: ok, in build/docs/site"

.PHONY: lock
lock: environment-lock ## Resolve requirements/ from pyproject.toml (ARGS=--upgrade: to the newest)
	@sh scripts/lock.sh $(ARGS)
	@echo "lock: ok"

.PHONY: package
package: environment-dev ## Build the source distribution in dist/, and the wheel without the compiled part
	@rm -rf dist
	@PLAINSQL_SPEED_BUILD=no $(BIN)/python -m hatchling build
	@echo "package: ok, in dist"

.PHONY: wheels
wheels: environment-wheels ## Build the wheels with the compiled part in dist/wheels (on Linux with Docker)
	@$(BIN)/python -m cibuildwheel --output-dir dist/wheels $(ARGS)
	@echo "wheels: ok, in dist/wheels"

.PHONY: check-version
check-version: environment-demo ## Fail unless this is version ARGS, as a release's tag says
	@test "$(ARGS)" = "$$($(BIN)/python -c 'import plainsql; print(plainsql.__version__)')" || \
		{ echo "check-version: this is not $(ARGS)" >&2; exit 1; }

.PHONY: bench
bench: ## Measure plainsql beside its peers (ARGS="--quick --json FILE": in 90 s)
	@sh scripts/environment.sh bench
	@cd benchmarks && ../$(BIN)/plainsql generate
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: failover
failover: environment-dev ## Fail over a cluster of three under Patroni, while programs write to it (needs etcd)
	@PLAINSQL_VENV=.venv-patroni sh scripts/environment.sh failover
	@$(BIN)/python -m benchmarks.failover $(ARGS)

.PHONY: bench-vectors
bench-vectors: ## Measure vector search, compared with other vector stores (ARGS="--quick --json FILE")
	@sh scripts/environment.sh bench
	@PLAINSQL_VENV=.venv-vectors sh scripts/environment.sh vectors
	@cd benchmarks && ../$(BIN)/plainsql generate
	@$(BIN)/python -m benchmarks.vectors $(ARGS)

.PHONY: up
up: compose ## Start PostgreSQL 18 with pgvector and Redis 8 in containers
	@docker compose up --detach --wait
	@docker compose exec -T -e PGOPTIONS=--client-min-messages=warning postgres sh -c \
	  'psql --quiet --username="$$POSTGRES_USER" --dbname="$$POSTGRES_DB" \
	    --command="create extension if not exists pg_stat_statements"'
	@if [ -f .env ]; then . ./.env; fi; \
	password=plainsql; if [ -n "$$DB_PASSWORD" ]; then password=PASSWORD; fi; \
	echo "up: export DATABASE_URL=postgresql://$${DB_USER:-plainsql}:$$password@127.0.0.1:$${DB_PORT:-5432}/$${DB_NAME:-plainsql}"; \
	echo "up: export REDIS_URL=redis://127.0.0.1:$${REDIS_PORT:-6379}/0"

.PHONY: down
down: compose ## Stop them (ARGS=--volumes: and delete their data)
	@docker compose down $(ARGS)

.PHONY: clean
clean: ## Delete the environments, caches and built packages; no data
	@rm -rf .venv .venv-system .venv-patroni .venv-vectors dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find src tests -type d -name __pycache__ -prune -exec rm -rf {} +
	@echo "clean: ok"

# -- What the commands stand on

.PHONY: environment-demo environment-dev environment-docs environment-lock environment-wheels
environment-demo environment-dev environment-docs environment-lock environment-wheels: environment-%:
	@sh scripts/environment.sh $*

.PHONY: servers
servers:
	@sh scripts/servers.sh

.PHONY: node
node:
	@sh scripts/node.sh

.PHONY: compose
compose:
	@docker compose version >/dev/null 2>&1 || { echo "compose: this needs Docker with its compose plugin" >&2; exit 1; }
