# The commands of development; `make` lists them. PYTHON names the interpreter: make test PYTHON=.venv/bin/python
PYTHON ?= python

.PHONY: help install project test slow lint format docs all

help:  ## List the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install:  ## Install the package and all that tests need, with tested versions
	$(PYTHON) -m pip install -r requirements-dev.txt -e .

project:  ## Train, evaluate and package on the demo corpora
	$(PYTHON) -m spacy project run all

test:  ## Run the tests
	$(PYTHON) -m pytest -n 2

slow:  ## Run the longer tests too
	$(PYTHON) -m pytest -n 2 --slow

lint:  ## Check style and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

format:  ## Put the code into shape
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

docs:  ## Write what follows from code, configs and results: tables of the docs, configs of the package
	$(PYTHON) scripts/write_configs.py
	$(PYTHON) scripts/write_reference.py
	$(PYTHON) benchmarks/tables.py

all: docs format lint test  ## What to run before a pull request
