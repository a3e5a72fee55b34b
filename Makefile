# `make up` runs Ingot, `make test` tests it; both install what they need into .venv.
# Nothing here needs root.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The environment is made anew when the pins or the interpreter change, and only then.
STAMP := $(VENV)/.installed-$(shell cat requirements.txt pyproject.toml scripts/install.sh 2>/dev/null | cksum | cut -d' ' -f1)

.DEFAULT_GOAL := help
.PHONY: help install up down demo test check format bench lock clean
.PHONY: image chart deploy-dev undeploy-dev
.PHONY: cluster-up cluster-down cluster-stop cluster-status cluster-test

help:           ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile

install: $(STAMP) ## Create .venv from the hash-pinned requirements.txt

$(STAMP):
	@PYTHON="$(PYTHON)" sh scripts/install.sh "$(VENV)" "$(STAMP)"

up: install     ## Start Ingot on this machine; data in .ingot/
	@$(BIN)/ingot up --detach

down: install   ## Stop it
	@$(BIN)/ingot down

demo: install   ## Draft, review, release, call, count, canary, roll back - on a running Ingot
	@$(BIN)/python scripts/demo.py

test: install   ## Run the tests
	@$(BIN)/python -m pytest -n 2 --dist loadfile -q -m "not slow and not cluster"

check: install  ## Format, lint, types, import direction
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy control_plane builders knative operators templates scripts tests
	@$(BIN)/lint-imports

format: install ## Rewrite the code the way `make check` wants it
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: install  ## List the benchmarks; run one with scripts/bench.py NAME
	@$(BIN)/python scripts/bench.py list

lock: install   ## Compile requirements.txt from pyproject.toml
	@sh scripts/lock.sh "$(BIN)/uv"

cluster-up: install ## As root: start Kubernetes with Knative on this machine (PROFILE=durable or fast)
	@$(BIN)/python -m knative.bootstrap up $(if $(PROFILE),--profile $(PROFILE))

cluster-stop: install ## As root: stop it; data, keys and images stay for the next cluster-up
	@$(BIN)/python -m knative.bootstrap down --keep-data

cluster-down: install ## As root: remove it with all its data, and prove that nothing is left
	@$(BIN)/python -m knative.bootstrap down

cluster-status: install ## As root: how each part of it is, and where what answers
	@$(BIN)/python -m knative.bootstrap status

cluster-test: install ## As root: the tests that need it running
	@$(BIN)/python -m pytest -q -m cluster

image: install  ## Build Ingot's own image; with REGISTRY=host also push it
	@$(BIN)/python scripts/ingot_image.py $(if $(REGISTRY),push --registry $(REGISTRY),build)

chart: install  ## Write the Helm chart for IMAGE=registry/name@sha256:...
	@$(BIN)/python scripts/chart.py --image "$(IMAGE)"

deploy-dev: install ## As root: run Ingot itself in the one-node cluster
	@$(BIN)/python scripts/dev_deploy.py up

undeploy-dev: install ## As root: remove it from there, with its data
	@$(BIN)/python scripts/dev_deploy.py down

clean: ## Remove the environment and caches; data in .ingot/ stays
	@rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
