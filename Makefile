# OpenAerialMap status publisher. `make` alone lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | while IFS=$$'\t' read -r name text; do printf '  \033[1m%-12s\033[0m %s\n' "$$name" "$$text"; done

.PHONY: setup
setup: .venv/ready ## Make .venv with everything, pinned and hash-checked

.venv/ready: requirements-dev.txt
	@echo "Setting up .venv (about a minute the first time) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement requirements-dev.txt
	@touch $@

LOCK := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet

.PHONY: lock
lock: setup ## Pin again what pyproject.toml asks for, with hashes (UPGRADE=1 for newest versions)
	@$(LOCK) --extra dev $(if $(UPGRADE),--upgrade) --output-file requirements-dev.txt
	@$(LOCK) --constraints requirements-dev.txt $(if $(UPGRADE),--upgrade) --output-file requirements.txt
