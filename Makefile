# Every target does its own set-up. A python3 that already has torch is used as it is (a CUDA build, say);
# otherwise a virtual environment with the releases of constraints.txt is made in .venv.
ifeq ($(shell python3 -c "import importlib.util as u; print(u.find_spec('torch') is not None)"),True)
PYTHON := python3
INSTALL := python3 -m pip install -q
STAMP := .venv/installed-with-your-torch
FRESH := --system-site-packages
else
PYTHON := .venv/bin/python
INSTALL := .venv/bin/python -m pip install -q -c constraints.txt
STAMP := .venv/installed
endif
DEV_STAMP := $(STAMP)-dev

# Tests that see the shapes and types of most arrays; they run a second time, checked at every call, at twice the cost.
SHAPES := tests/groups/test_axioms.py tests/models tests/nn/test_convolution.py tests/systems/test_systems.py

.PHONY: demo test lint types notebooks benchmarks docs figures wheel

demo: $(STAMP)
	$(PYTHON) -m hlieconv demo

test: $(STAMP)
	$(PYTHON) -m pytest -n auto

lint: $(DEV_STAMP)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types: $(DEV_STAMP)
	$(PYTHON) -m basedpyright
	$(PYTHON) -m pytest --jaxtyping-packages=systems,hlieconv,beartype.beartype tests/test_types.py $(SHAPES)

notebooks: $(DEV_STAMP)
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n auto --nbmake --nbmake-timeout=600 -o addopts= notebooks

notebooks/%.ipynb: notebooks/%.py | $(DEV_STAMP)
	$(PYTHON) notebooks/execute.py $<

benchmarks: $(STAMP)
	$(PYTHON) -m pytest -o addopts= -s tests/benchmarks

docs: $(DEV_STAMP)
	$(PYTHON) -m sphinx -q -W --keep-going -d docs/_build/doctrees docs docs/_build/html
	@echo docs/_build/html/index.html

figures: $(STAMP)
	$(PYTHON) docs/blocks.py docs/gallery.md

# The wheel and the source archive, and from that wheel, in a fresh environment and away from this folder, a simulation
# in machine code (whose C comes with the wheel) and what is conserved in it.
wheel: $(DEV_STAMP)
	rm -rf dist build
	$(PYTHON) -m build -q
	python3 -m venv $(FRESH) build/fresh
	build/fresh/bin/python -m pip install -q -c constraints.txt dist/*.whl
	cd build && fresh/bin/hlieconv simulate springs --rest-length 1 --integrator leapfrog --step 0.01 --compile on --count 4 --overwrite -o springs.nc
	cd build && fresh/bin/hlieconv diagnose springs.nc

$(STAMP): pyproject.toml constraints.txt
	@mkdir -p .venv
	@test $(PYTHON) = python3 || test -x .venv/bin/python || python3 -m venv .venv
	$(INSTALL) -e ".[test]"
	@touch $@

$(DEV_STAMP): $(STAMP)
	$(INSTALL) -e ".[test,dev,notebooks,docs]"
	@touch $@
