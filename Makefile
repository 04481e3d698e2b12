# make demo   install, then train, sample and evaluate on real data
# make test   install, then run the whole test suite in two processes
# make check  install, then lint and type-check
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test check clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[all,dev]"
	touch $(READY)

demo: $(READY)
	$(BIN)/timeloom train ItalyPowerDemand --out checkpoints/demo --overwrite
	$(BIN)/timeloom sample checkpoints/demo --n 1029 --match-labels --out demo/samples.npz --overwrite
	$(BIN)/timeloom evaluate ItalyPowerDemand demo/samples.npz --run checkpoints/demo --out demo --seeds 1

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo checkpoints/demo
