# Everything that a stranger needs: `make run` and `make test` set up what they use by themselves.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PORT   ?= 5000
STAMP  := $(VENV)/.installed

.PHONY: quick run test test-all check lint docs results-page viz ui screenshots clean help

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

quick: $(STAMP) ## a first result in about a minute, on a small part of the embedded corpus
	$(BIN)/kedro run --env quick

run: $(STAMP) ## the whole experiment on the embedded corpus
	$(BIN)/kedro run

test: $(STAMP) ## the tests, without those marked slow
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow"

test-all: $(STAMP) ## all tests, the slow ones too
	$(BIN)/pytest -n 2 --dist worksteal

lint: $(STAMP) ## ruff, mypy, the import contracts and the documentation's links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate

docs: $(STAMP) ## this documentation as a site, in build/site, with the graph in build/site/viz
	rm -rf build .viz-site
	$(BIN)/kedro viz build --include-previews
	mv build .viz-site
	$(BIN)/python docs/generate
	mv .viz-site build/site/viz

check: lint test ## what CI runs

viz: $(STAMP) ## the pipelines as a graph in the browser
	$(BIN)/kedro viz run

ui: $(STAMP) ## the tracked runs in the browser; PORT=5001 for another port
	@$(BIN)/python -c 'import socket, sys; sys.exit(socket.socket().connect_ex(("127.0.0.1", $(PORT))) == 0 and "Port $(PORT) is in use. Another one: make ui PORT=%d" % ($(PORT) + 1))'
	$(BIN)/mlflow ui --app-name ergokedro --port $(PORT)

screenshots: $(STAMP) ## the pictures of Kedro-Viz and MLflow in the docs, from this folder's results
	ERGOKEDRO_SCREENSHOTS=docs/images $(BIN)/pytest -q tests/end_to_end/test_browser.py

results-page: $(STAMP) ## docs/results.md and its figure, from the kept tables
	$(BIN)/python docs/results/page.py

clean: ## delete results and caches, keep the environment
	rm -rf data/0*/*/ data/.*.lock mlflow.db* mlruns .viz .pytest_cache .mypy_cache .ruff_cache .cache
