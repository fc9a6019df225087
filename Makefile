# Everything runs in .venv, made from the lock files. Elsewhere, torch may come from another index:
#   make TORCH_INDEX=<address of an index that holds torch 2.13.0>
PYTHON ?= python3.11
TORCH_INDEX ?=
PRIVACY ?=
EXTRAS ?= pages
BIN := .venv/bin
QUIET := --quiet --disable-pip-version-check
export FLWR_TELEMETRY_ENABLED := 0
export FLWR_DISABLE_UPDATE_CHECK := 1
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: help demo demo-federation docs screenshots looking test check smoke test-all mutants bench bundle deb image clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

LOCKS := requirements.lock requirements-dev.lock

# Each file is taken only if its hash is in the lock; of another index's torch nobody here knows one.
.venv/ready: $(LOCKS) requirements-torch.lock pyproject.toml server/pyproject.toml simulations/pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(QUIET) $(if $(TORCH_INDEX),torch==2.13.0 --index-url $(TORCH_INDEX),--no-deps --require-hashes -r requirements-torch.lock)
	$(BIN)/python -m pip install $(QUIET) --no-deps --require-hashes $(addprefix -r ,$(LOCKS))
	$(BIN)/python -m pip install $(QUIET) --no-deps --no-build-isolation -e . -e ./server -e ./simulations
	touch $@

demo: .venv/ready  ## train the synthetic study of twelve hospitals, and show where its report is
	rm -rf runs/demo
	$(BIN)/oncofed simulate simulations/studies/demo/study.toml --out runs/demo

demo-federation: .venv/ready  ## a coordinator and four hospitals as processes here, and their report; or PRIVACY=distributed
	rm -rf runs/federation
	$(BIN)/python -m oncofed.simulations.federation_demo --out runs/federation $(if $(PRIVACY),--privacy $(PRIVACY))

check: .venv/ready  ## format, lint, strict types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check  ## the gate: check, then every test that takes seconds
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 4 --dist worksteal -m "not slow"

SMOKE := .venv-smoke/bin
smoke:  ## tables, texts and the coordinator's gate under another Python, without torch: make smoke PYTHON=python3.13
	$(PYTHON) -m venv $(dir $(SMOKE))
	$(SMOKE)/python -m pip install $(QUIET) --no-deps --require-hashes $(addprefix -r ,$(LOCKS))
	$(SMOKE)/python -m pip install $(QUIET) --no-deps --no-build-isolation -e . -e ./server -e ./simulations
	$(SMOKE)/oncofed --help > /dev/null
	$(SMOKE)/pytest -n 2 -m "not slow" tests/unit/cohort tests/unit/words tests/unit/server/flower
	rm -rf $(dir $(SMOKE))

test-all: check  ## the gate with the slow tests: Ray, real cohorts, acceptance figures
	OMP_NUM_THREADS=1 $(BIN)/pytest

mutants: .venv/ready  ## does a test notice each wrong line of tests/mutants/mutants.toml?
	$(BIN)/python -m tests.mutants

docs: .venv/ready  ## docs/ and the laboratory's API as a site in runs/site; a link that leads nowhere fails
	$(BIN)/python -m sphinx -q -W --keep-going -b html -c docs/site docs runs/site

screenshots: .venv/ready  ## the pictures of a hospital's pages in docs/, of the demonstration's run; needs Chromium
	$(BIN)/python -m oncofed.simulations.page_pictures runs/demo --site hospital_06 --patient P01596 --out docs

looking: .venv/ready  ## a picture of every page in every state, at three widths, by day and by night, in runs/looking; needs Chromium
	$(BIN)/python -m tests.end_to_end.page_tour --out runs/looking

bench: .venv/ready  ## ratios, measured side by side
	$(BIN)/python -m oncofed.simulations.benchmarks --out runs/bench.md

END ?= node
PACKAGES := dist
bundle: .venv/ready  ## dist/: all that one end installs from without network: make bundle END=node, coordinator or lab
	$(BIN)/python -m packages.bundle $(END) --out $(PACKAGES) --torch-index "$(TORCH_INDEX)"

deb: .venv/ready  ## dist/: the node as a package of Debian, of the bundle that is there: make deb EXTRAS=pages,sql,excel
	$(BIN)/python -m packages.deb $(PACKAGES)/oncofed-node-*.tar --out $(PACKAGES) --extras "$(EXTRAS)"

BASE ?= debian:bookworm-slim
PODMAN ?= podman
image:  ## localhost/oncofed-END, of the bundle that is there: make image END=node BASE=debian:bookworm-slim
	$(PODMAN) build --file packages/Containerfile --target $(END) --build-arg BASE=$(BASE) --build-arg EXTRAS=$(EXTRAS) --tag localhost/oncofed-$(END) $(PACKAGES)

clean:  ## remove the environment and all runs
	rm -rf .venv .venv-smoke runs dist
