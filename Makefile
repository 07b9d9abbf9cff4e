# Every target does its own set-up. A python3 that already has torch is used as it is (a CUDA build, say);
# otherwise a virtual environment with the releases of constraints.txt is made in .venv.
ifeq ($(shell python3 -c "import importlib.util as u; print(u.find_spec('torch') is not None)"),True)
PYTHON := python3
INSTALL := python3 -m pip install -q
STAMP := .venv/installed-with-your-torch
else
PYTHON := .venv/bin/python
INSTALL := .venv/bin/python -m pip install -q -c constraints.txt
STAMP := .venv/installed
endif
DEV_STAMP := $(STAMP)-dev

.PHONY: demo test lint types notebooks benchmarks

demo: $(STAMP)
	$(PYTHON) -m hlieconv demo

test: $(STAMP)
	$(PYTHON) -m pytest -n auto

lint: $(DEV_STAMP)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types: $(DEV_STAMP)
	$(PYTHON) -m basedpyright

notebooks: $(DEV_STAMP)
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n auto --nbmake --nbmake-timeout=600 -o addopts= notebooks

notebooks/%.ipynb: notebooks/%.py | $(DEV_STAMP)
	$(PYTHON) notebooks/execute.py $<

benchmarks: $(STAMP)
	$(PYTHON) -m pytest -o addopts= -s tests/benchmarks

$(STAMP): pyproject.toml constraints.txt
	@mkdir -p .venv
	@test $(PYTHON) = python3 || test -x .venv/bin/python || python3 -m venv .venv
	$(INSTALL) -e ".[test]"
	@touch $@

$(DEV_STAMP): $(STAMP)
	$(INSTALL) -e ".[test,dev,notebooks]"
	@touch $@
