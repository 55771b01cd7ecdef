# Every target makes what it needs; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RIG := $(BIN)/python -m tests.cluster.rig
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup run test lint test-faults test-cluster cluster mutants bench docs lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## make .venv with the akeso command, from locked and hash-checked dependencies

$(STAMP): locks/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "akeso needs Python 3.11 or newer; say make PYTHON=/path/to/python3")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r locks/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: $(STAMP) ## serve akeso dev and show two incidents; ONCE=1 ends after both, CLUSTER=1 on a real Kubernetes
	$(if $(CLUSTER),$(RIG) run) $(BIN)/akeso dev $(if $(CLUSTER),--kubeconfig {} --sample) $(if $(ONCE),--once)

lint: $(STAMP) ## style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Half of their time tests wait for processes and clocks: two workers to a core.
test: lint ## lint, and every test that needs no Go, Docker or cluster (under five minutes on two cores)
	$(BIN)/pytest -m "not faults and not cluster" -n 4 --dist worksteal

test-faults: $(STAMP) ## kills, lost state and simulated hours (a quarter of an hour)
	$(BIN)/pytest -m faults -n 3 --dist worksteal

test-cluster: $(STAMP) ## the same and more on a real Kubernetes, made here (root, Go) or KUBECONFIG=FILE; MAY_SKIP=1
	MAY_SKIP=$(MAY_SKIP) $(RIG) test $(if $(KUBECONFIG),--on "$(KUBECONFIG)") $(TESTS)

cluster: $(STAMP) ## keep a real Kubernetes with two nodes on this machine until Ctrl-C; prints its KUBECONFIG
	$(RIG) up

mutants: $(STAMP) ## break each line that a promise rests on, and see its test go red; PART=1/4 for every fourth
	$(BIN)/python -m tests.mutants $(PART)

bench: $(STAMP) ## measure, print and write build/bench.jsonl
	$(BIN)/python -m tests.perf.bench

docs: $(STAMP) ## write a page of each action into build/docs, from what it declares
	$(BIN)/akeso actions --pages build/docs

lock: ## resolve the dependencies anew into locks/ (needs uv on the path)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml -o locks/runtime.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --extra cli --extra dev pyproject.toml -o locks/dev.txt

clean: ## remove what was made, the environment included
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
