# Each target makes the virtual environment it needs; a machine needs only Python (3.11 or newer) and make.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
WEIGHTS ?=
DEMO_OUTPUT ?= demo_output

.PHONY: install test lint docs demo clean

install: $(VENV)/.installed

# torch comes first, so that what else is installed finds the pinned one there.
$(VENV)/.installed: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo,dicom,docs,lint,test]'
	touch $@

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html docs docs/_build/html

docs: install
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html docs docs/_build/html
	@echo "wrote docs/_build/html/index.html"

demo: install
	$(BIN)/python demo/run.py --output $(DEMO_OUTPUT) $(if $(WEIGHTS),--weights $(WEIGHTS))

clean:
	rm -rf $(VENV) docs/_build demo_output build *.egg-info
