# The one interface of this repository: `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin

# A value as one shell word, whatever it holds; an option only when its variable is set.
quote = '$(subst ','\'',$(1))'
option = $(if $($(1)),$(2) $(call quote,$($(1))))

DEMO_OPTIONS = $(call option,DEVICES,--devices) $(call option,SECONDS,--seconds) \
  $(call option,MEDIA,--media) $(call option,PLAYER,--player) $(call option,RUN_DIR,--run-dir) \
  $(call option,REPORT,--report) $(call option,WALL,--wall) $(call option,CELL,--cell) \
  $(if $(filter-out 0,$(ISOLATE)),--isolate) $(call option,NET,--net) $(call option,SEED,--seed)
DEMO_PARTS = $(if $(filter sim,$(PLAYER)),,mpv ffmpeg) $(if $(filter-out 0,$(ISOLATE)),ip)
TEST_PARTS = mpv ffmpeg redis-server chromium chromedriver $(if $(filter 0,$(shell id -u)),ip)

.PHONY: help setup demo test check format bench fuzz docs lock clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  make demo takes DEVICES= SECONDS= MEDIA= PLAYER=mpv|sim RUN_DIR= REPORT= ISOLATE=1 NET=wifi-bad|list SEED= WALL=3x1 CELL=640x360"

setup:  ## Get everything the other targets need; PGM=1 builds pyzmq with PGM multicast
	@PGM=$(call quote,$(PGM)) tools/setup.sh
	@tools/need.sh --optional mpv ffmpeg font

demo: setup  ## Play one film in unison on three devices of this machine
	@tools/need.sh $(DEMO_PARTS)
	@exec $(BIN)/unisono demo $(DEMO_OPTIONS)

test: setup  ## Run all tests; ARGS= goes to pytest
	@tools/need.sh $(TEST_PARTS)
	@exec $(BIN)/pytest $(ARGS)

check: setup  ## Lint, format, types, import rules, generated docs
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/unisono flags | diff -u docs/flags.md - || \
	  { echo "docs/flags.md is not what the tables say: run make docs"; exit 1; }
	@$(BIN)/python -m services.control_plane.gate.roles | diff -u docs/roles.md - || \
	  { echo "docs/roles.md is not what the table says: run make docs"; exit 1; }

format: setup  ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup  ## Measure the players from outside; as root on separate clocks
	@tools/need.sh mpv ffmpeg ip
	@exec $(BIN)/python -m benchmarks $(ARGS)

fuzz: setup  ## Fuzz what decodes the LAN's messages; N=10000000 inputs
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/pip install -q --no-build-isolation -e '.[fuzz]'
	@$(BIN)/python -m benchmarks.fuzz $(call quote,$(or $(N),10000000))
	@exec $(BIN)/pytest -q tests/property/test_wire_codec.py

docs: setup  ## Write the generated pages of docs/
	@mkdir -p docs
	@$(BIN)/unisono flags > docs/flags.md
	@$(BIN)/python -m unisono.telemetry > docs/metrics.md
	@$(BIN)/python -m services.control_plane.gate.roles > docs/roles.md
	@$(BIN)/python -c 'from unisono.core.session_state import page; print(page(), end="")' > docs/session-states.md

lock: setup  ## Pin requirements.txt anew from pyproject.toml (needs a package index)
	@tools/lock.sh

clean:  ## Remove what setup and test have made and what your ended demos left, but no test film
	@if [ -x $(BIN)/unisono ]; then $(BIN)/unisono clean; fi
	@rm -rf .venv build dist run .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
