# OpenAerialMap status publisher. `make` alone lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON := python3
BIN := .venv/bin

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' \
		| while IFS=$$'\t' read -r name text; do printf '  %-12s %s\n' "$$name" "$$text"; done

# --- Here ---------------------------------------------------------------------------------------------

.PHONY: setup
setup: .venv/ready .venv/bin/oam-status ## Make .venv with everything, pinned and hash-checked (PYTHON=python3.13)
ifeq ($(origin PYTHON),command line)
	@$(ask_python); found="$$($(BIN)/python --version)"; test "$$asked" = "$$found" || { \
		echo ".venv has $$found, not $$asked. To make it anew: make clean && make setup PYTHON=$(PYTHON)" >&2; exit 1; }
endif

define ask_python
asked="$$("$(PYTHON)" --version 2>&1)" || { echo "$(PYTHON) does not run: $$asked" >&2; exit 1; }
endef

.venv/ready: requirements-dev.txt
	@$(ask_python); "$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' || { echo \
		"Python 3.11 to 3.14 is needed, and $(PYTHON) is $$asked. Say which: make setup PYTHON=python3.13" >&2; exit 1; }
	@"$(PYTHON)" local/packaging/make_venv.py --megabytes 700 .venv requirements-dev.txt

# This project itself, as an editable: its setuptools is locked, and nothing is downloaded.
.venv/bin/oam-status: pyproject.toml .venv/ready
	@! test -L .venv || { echo ".venv is a symbolic link to $$(readlink .venv), which stays as it is. Remove the link: rm .venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-index --no-build-isolation --editable .
	@touch $@

.PHONY: demo
demo: setup ## Run messages of several jobs through the real handler, and show what becomes of them
	@$(BIN)/python -m local.demo $(ARGS)

.PHONY: start
start: setup ## Poll the queue that .env names; with nothing configured, run an embedded stack
	@$(BIN)/python -m local.cli.start $(ARGS)

.PHONY: send
send: setup ## Put an event file's messages on the local queue, or a stack's: make send EVENT=events/... STACK=...
	@$(BIN)/python -m local.cli send $(or $(EVENT),$(error Say which event: make send EVENT=events/full-job.json)) \
		$(if $(STACK),--stack '$(STACK)') $(ARGS)

.PHONY: show
show: setup ## List jobs, or show one: make show JOB=test-job (ARGS="--failed --since 1d")
	@$(BIN)/python -m local.cli $(if $(JOB),job '$(JOB)',jobs) $(ARGS)

.PHONY: dead-letters
dead-letters: setup ## List what is in the dead-letter queue, each message with its reason; it stays there
	@$(BIN)/python -m local.cli dead-letters $(ARGS)

.PHONY: redrive
redrive: setup ## Send dead letters back: make redrive RATE=50 (a second) ALL=1 (poison too) JOB=... MESSAGE=... (these alone)
	@$(BIN)/python -m local.cli redrive $(if $(RATE),--rate $(RATE)) $(if $(ALL),--all) \
		$(foreach job,$(JOB),--job '$(job)') $(foreach message,$(MESSAGE),--message '$(message)') $(ARGS)

.PHONY: renotify
renotify: setup ## Notify the catalog once more of a finished job: make renotify JOB=test-job
	@$(BIN)/python -m local.cli renotify $(or $(JOB),$(error Say which job: make renotify JOB=test-job)) $(ARGS)

.PHONY: events
events: setup ## Write events/*.json again
	@$(BIN)/python -m local.packaging.make_events

.PHONY: check
check: setup ## Check format, lint and types
	@$(BIN)/ruff format --check --quiet . || { echo "make format fixes this" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

.PHONY: format
format: setup ## Format the code and fix what the linter can
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

# Most tests wait for something, so there are more processes than cores; each takes the next test when it is done.
WORKERS := --numprocesses $(or $(N),5) --maxschedchunk 1

.PHONY: test
test: setup ## Run all tests; branch coverage of handler/ has to be 95 % (N=5 processes; ARGS="-k name" for some)
	@$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),$(WORKERS) --cov --cov-report=term)

.PHONY: test-fast
test-fast: setup ## Run the tests of what is pure: half a minute
	@$(BIN)/python -m pytest --numprocesses 2 --dist worksteal tests/unit tests/properties $(ARGS)

.PHONY: chaos
chaos: setup ## Run several handler processes under faults, kills and outages, against a model (SEED=7 LONG=1)
	@$(BIN)/python -m tools.chaos --seed $(or $(SEED),1) $(if $(LONG),--long,--short) $(ARGS)

.PHONY: bench
bench: setup ## Measure the publisher beside what else one would write (ARGS="--only latency"; a quarter of an hour for all)
	@$(BIN)/python -m tools.bench $(if $(ARGS),$(ARGS),--json docs/benchmark.json --plot docs/benchmark.png)

.PHONY: mutants
mutants: .venv-mutmut/ready ## Make small changes to the code, one at a time, and list those that no test notices (half an hour)
	@nice -n 19 .venv-mutmut/bin/python -m mutmut run $(ARGS)
	@set -o pipefail; .venv-mutmut/bin/python -m mutmut results | sed '/: not checked$$/d'

# Apart from .venv, as it wants another click than sam; with the same Python, whose packages the tests take from there.
.venv-mutmut/ready: requirements-mutmut.txt .venv/ready
	@$(BIN)/python local/packaging/make_venv.py --megabytes 70 --uv $(BIN)/uv .venv-mutmut requirements-mutmut.txt
	@for packages in .venv-mutmut/lib/*/site-packages; do echo "$(CURDIR)/.venv/lib/$$(basename "$$(dirname "$$packages")")/site-packages" > "$$packages/tests.pth"; done

.PHONY: clean
clean: ## Remove what was built and set up here
	@rm -rf .venv .venv-checkov .venv-mutmut .aws-sam build mutants .coverage

# --- Dependencies -------------------------------------------------------------------------------------

LOCK := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links --system-certs --quiet

.PHONY: lock
lock: setup ## Pin again what pyproject.toml asks for, with hashes (UPGRADE=1: the newest versions)
	@$(LOCK) --extra dev $(if $(UPGRADE),--upgrade) --output-file requirements-dev.txt
	@$(LOCK) --constraints requirements-dev.txt $(if $(UPGRADE),--upgrade) --output-file requirements.txt
	@for tool in checkov mutmut; do \
		echo $$tool | $(subst pyproject.toml,-,$(LOCK)) $(if $(UPGRADE),--upgrade) --output-file requirements-$$tool.txt; \
	done

# --- AWS ----------------------------------------------------------------------------------------------
# Sam's own commands. ENV=staging or ENV=production takes that part of samconfig.toml.

export SAM_CLI_TELEMETRY ?= 0
SAM := $(BIN)/sam
CONFIG := --config-env $(or $(ENV),default)

# What `sam build` calls (BuildMethod: makefile), with a Python of this project's or any other from 3.11 on.
.PHONY: build-StatusPublisher
build-StatusPublisher:
	@"$(or $(wildcard $(BIN)/python),$(PYTHON))" local/packaging/artifact.py "$(ARTIFACTS_DIR)"

define sam_build
@$(SAM) build $(CONFIG)
@$(BIN)/python local/packaging/artifact.py --describe .aws-sam/build/StatusPublisher
endef

.PHONY: build
build: setup ## Build the function's artifact: sam build
	$(sam_build)

# The same, where one that is there will do: only when something that goes into it is newer. The folder is, when a
# file was removed.
.aws-sam/build/template.yaml: template.yaml requirements.txt local/packaging/artifact.py handler $(wildcard handler/*.py) | setup
	$(sam_build)

.PHONY: publisher
publisher: build ## The same, by the name that older users know

.PHONY: validate
validate: setup ## Check template.yaml: sam validate --lint
	@AWS_DEFAULT_REGION=$(or $(AWS_DEFAULT_REGION),us-east-1) $(SAM) validate $(CONFIG)

.PHONY: validate-all
validate-all: setup ## Lint template.yaml for every combination of its conditions, on all cores (minutes; make test lints a few)
	@mkdir -p build
	@$(BIN)/python -m tests.deploy.lint 2> build/lint.log || { cat build/lint.log >&2; exit 1; }

.PHONY: scan
scan: .venv-checkov/ready ## Scan template.yaml, raw and translated, with checkov
	@mkdir -p build
	@$(BIN)/python -m tests.deploy.translated > build/translated.json 2> build/translated.log || { cat build/translated.log >&2; exit 1; }
	@.venv-checkov/bin/checkov --file template.yaml build/translated.json --framework cloudformation --compact --quiet --skip-download

# Apart from .venv, with the same Python: it wants other versions of what the function and its tests are pinned to.
.venv-checkov/ready: requirements-checkov.txt | .venv/ready
	@$(BIN)/python local/packaging/make_venv.py --megabytes 260 --uv $(BIN)/uv .venv-checkov requirements-checkov.txt

.PHONY: deploy
deploy: build ## Deploy: sam deploy (GUIDED=1 asks for every parameter; ENV=production)
	@$(SAM) deploy $(CONFIG) $(if $(GUIDED),--guided) $(ARGS)

.PHONY: invoke
invoke: .aws-sam/build/template.yaml ## Run the built function in Lambda's container (Docker): make invoke EVENT=events/full-job.json
	@$(BIN)/python -m local.cli.invoke --sam $(SAM) $(CONFIG) $(if $(ARCHITECTURE),--architecture $(ARCHITECTURE)) \
		$(or $(EVENT),events/full-job.json) $(ARGS)

.PHONY: logs
logs: setup ## Follow the deployed function's log: sam logs --tail
	@$(SAM) logs $(CONFIG) --name StatusPublisher --tail $(ARGS)

.PHONY: outputs
outputs: setup ## Show the deployed stack's outputs: sam list stack-outputs
	@$(SAM) list stack-outputs $(CONFIG)

.PHONY: delete
delete: setup ## Remove the stack: sam delete (the status bucket stays)
	@$(SAM) delete $(CONFIG)
