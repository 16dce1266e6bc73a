# The two commands are `make artifacts` and `make test`; each makes .venv by itself when it is missing or stale.

PYTHON ?= python3
# `current` has current transformers and Sentence Transformers. `optimum` has optimum's exporters and Sentence
# Transformers' own backends, with the last versions of both that optimum allows.
TOOLCHAIN ?= current
ifeq ($(TOOLCHAIN),current)
VENV := .venv
CONSTRAINTS := constraints.txt
EXTRAS := sample,dev,ui
else ifeq ($(TOOLCHAIN),optimum)
VENV := .venv-optimum
CONSTRAINTS := constraints-optimum.txt
EXTRAS := optimum,sample,dev
else
$(error TOOLCHAIN is $(TOOLCHAIN), must be current or optimum)
endif
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PYTHONUNBUFFERED := 1
export DVC_NO_ANALYTICS := 1
# The version of transformers.js that tests read what is published with.
TRANSFORMERS_JS := 4.3.1
# How many processes run tests, and which tests `make test` runs; `make test TESTS=slow` runs those that it leaves out.
WORKERS ?= 2
TESTS ?= not slow

# The file in which a job that may not write hands over what it has built; and `make prune YES=1` removes what it shows.
BUNDLE ?= build/rebuild.tar
YES ?=

.PHONY: artifacts test test-all check check-params advisories outdated audit prune rebuild bundle unbundle propose publish clean

artifacts: $(VENV)/installed check-params  ## build, check, measure and publish everything that params.yaml names
	foundry build
	foundry audit --skip-remote
	@echo "The report: artifacts/report/index.html   What passed: artifacts/hub/"

test: $(VENV)/installed  ## every test but those marked slow
	pytest -n $(WORKERS) --dist worksteal -m "$(TESTS)"

test-all: $(VENV)/installed  ## every test, also those marked slow: on the real model, and by real processes
	pytest -n $(WORKERS) --dist worksteal

check: $(VENV)/installed  ## what a change must pass before review
	ruff format --check .
	ruff check .
	mypy

check-params: $(VENV)/installed  ## every mistake in params.yaml at once
	foundry check-params

advisories: $(VENV)/installed  ## known advisories against the pinned versions; one is an error, and so is a package nobody knows
	pip-audit --requirement $(CONSTRAINTS) --no-deps --disable-pip --strict

outdated: $(VENV)/installed  ## which sources and packages have moved on, and advisories against what is installed
	foundry outdated

audit: $(VENV)/installed  ## every output against dvc.lock, byte for byte: workspace, cache, remote
	foundry audit

prune: $(VENV)/installed  ## show what no longer stands in params.yaml, in artifacts, dvc.lock and the cache; YES=1 removes it
	foundry prune $(if $(YES),--yes)

rebuild: $(VENV)/installed check-params  ## what is scheduled: fetch, pin sources to where they are, build what is out of date, audit
	dvc pull --run-cache --allow-missing
	foundry outdated --write --no-toolchain || test $$? -eq 3
	dvc repro --pull report
	foundry audit --skip-remote

bundle: $(VENV)/installed  ## what `make rebuild` made, in one file for a job that may write
	foundry bundle $(BUNDLE)

unbundle: $(VENV)/installed  ## that file, checked and unpacked, with the figures before and after, for `make propose`
	dvc pull --allow-missing report
	foundry bundle --unpack $(BUNDLE)
	dvc checkout report

propose: $(VENV)/installed  ## what `make rebuild` changed: outputs to the remote, and a branch of its own with the figures that moved
	dvc push --run-cache
	bash .ci/propose

publish: $(VENV)/installed check-params  ## of what was merged, with nothing built: audit, then only publish runs
	dvc pull --run-cache --allow-missing
	foundry audit --skip-remote --without publish
	dvc repro --pull --single-item publish
	dvc push

clean:  ## everything that was built or installed; `dvc repro` builds it again
	rm -rf .venv .venv-* node_modules .dvc/cache .dvc/tmp .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find artifacts -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +

$(VENV)/installed: pyproject.toml $(CONSTRAINTS)
	@echo "Setting up $(VENV): 2 GB of libraries, a few minutes ..."
	$(PYTHON) -m venv --clear $(VENV)  # what another Python or toolchain left there would stay
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) --editable '.[$(EXTRAS)]'
	@touch $@

# Other tools that read what is published, for the tests: they go with neither toolchain's client of the Hub.
.venv-peers/installed: constraints-peers.txt
	$(PYTHON) -m venv --clear .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --requirement constraints-peers.txt
	@touch $@

# And transformers.js, which needs Node. Another version of it stands in this file.
node_modules/installed: Makefile
	npm install --prefix . --no-save --no-audit --no-fund --ignore-scripts --loglevel=error @huggingface/transformers@$(TRANSFORMERS_JS)
	@touch $@
