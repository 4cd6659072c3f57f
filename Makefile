# `make demo` and `make test` set everything up by themselves; a second call installs nothing.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: cluster demo test test-fast test-slow lint docs install constraints clean

demo: $(INSTALLED) ## the main job: labels on 80, 40 and 10 % of a real MNIST pool, before and after pseudo-labelling
	$(BIN)/kmpl sweep --preset quick --name demo

test: $(INSTALLED) ## every check that must hold; types are checked while tests wait
	@$(MAKE) --no-print-directory --jobs 2 lint test-fast

test-fast: $(INSTALLED) ## the tests among them
	$(BIN)/pytest -m "not slow" --numprocesses auto --dist loadfile --no-loadscope-reorder --durations 20

test-slow: $(INSTALLED) ## checks that need minutes
	$(BIN)/pytest -m slow --timeout 3600

cluster: $(INSTALLED) ## a cluster on this machine, to try or to break: all servers, and two workers that share no folder
	@$(BIN)/python tests/helpers/loopback.py

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: $(INSTALLED) ## the documents as a site: site/index.html; a dead link ends it
	$(BIN)/zensical build --strict

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "kmpl needs Python 3.11 or newer, '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | tail -n 1); name another with: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "kmpl needs Python's venv module, which '$(PYTHON)' lacks; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

constraints: $(INSTALLED) ## pin what is installed now
	@{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sort -f; } > constraints.new && mv constraints.new constraints.txt

clean: ## remove what `make` installed; runs and caches stay
	rm -rf .venv
