# `make demo` and `make test` set up .venv by themselves and need nothing but Python 3.10 to 3.12.
PYTHON ?= python3
# Torch comes first and by itself, so that no other package chooses a build of it.
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo-output

.PHONY: demo test check bench screenshots format clean

demo: $(VENV)/.demo
	$(BIN)/dynamicseg synthesize --output $(DEMO)/phantom --size small --seed 0
	$(BIN)/dynamicseg segment $(DEMO)/phantom/phantom_0000 --output $(DEMO)/result
	$(BIN)/dynamicseg evaluate $(DEMO)/result/segmentation.nii.gz $(DEMO)/phantom/phantom_0000/phantom_0000_seg.nii.gz
	@echo "Look at $(DEMO)/result/chart.png"

test: $(VENV)/.test
	QT_QPA_PLATFORM=offscreen $(BIN)/pytest

check: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.bench
	$(BIN)/dynamicseg bench --output bench-output

screenshots: $(VENV)/.test
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m Testing.Module.screenshots

format: $(VENV)/.check
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(DEMO) bench-output

$(BIN)/torch-installed:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet "$(TORCH)"
	@touch $@

$(VENV)/.demo: $(BIN)/torch-installed pyproject.toml
	$(BIN)/pip install --quiet -e ".[report,train]"
	@touch $@

$(VENV)/.bench: $(BIN)/torch-installed pyproject.toml
	$(BIN)/pip install --quiet -e ".[all]"
	@touch $@

$(VENV)/.test: $(BIN)/torch-installed pyproject.toml
	$(BIN)/pip install --quiet -e ".[test,slicer]"
	@touch $@

$(VENV)/.check: $(BIN)/torch-installed pyproject.toml
	$(BIN)/pip install --quiet -e ".[check]"
	@touch $@
