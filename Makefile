# foldwise: `make` prints what there is to do.
COMP ?= digits
DRY ?=
FROM ?=
RECIPE ?=
IMAGES ?=
SUB ?=
ARGS ?=
DATA ?=
JOBS ?= 2
SECONDS ?=
SEED ?=

FOLDWISE := .venv/bin/foldwise
# two workers with a thread each; JOBS=0: one process with all cores
PYTEST := .venv/bin/python -m pytest -n $(JOBS) --dist worksteal
CODE := $(wildcard src tests benchmarks competitions tools)

.DEFAULT_GOAL := help
.PHONY: help setup data check train submit reproduce status test quick lint docs docs-serve reference bench bench-quality bench-budget bench-blend bench-cluster bench-boards leak backbones gpu torture clean

help: ## this table
	@echo "make <target> [COMP=$(COMP)] [ARGS=\"more options of the command\"]"
	@awk -F ' *## *' '/^[a-z-]+:.*## / { \
		split($$1, target, ":"); printf "  %-13s %s\n", target[1], $$2; \
		if ($$3 != "") printf "  %-13s   %s\n", "", $$3 }' $(firstword $(MAKEFILE_LIST))

setup: ## .venv with foldwise in it; every target that needs it does this first ## make setup PYTHON=python3.12
	@sh tools/setup.sh

data: setup ## fetch a competition's files, or take them from a folder ## make data COMP=wildlife FROM=../downloads
	@$(FOLDWISE) data $(COMP) $(if $(FROM),--from "$(FROM)") $(ARGS)

check: setup ## look for trouble in the data, the folds and the format file ## make check COMP=wildlife
	@$(FOLDWISE) check $(COMP) $(ARGS)

train: setup ## train one recipe on every fold; goes on where it stopped ## make train COMP=digits RECIPE=tiny
	@$(FOLDWISE) train $(COMP) $(if $(RECIPE),--recipe $(RECIPE)) $(ARGS)

submit: setup ## train, blend, write, validate, score and upload; DRY=1 uploads nothing ## make submit COMP=wildlife DRY=1
	@$(FOLDWISE) submit $(COMP) $(if $(filter-out 0,$(DRY)),--dry-run) $(ARGS)

reproduce: setup ## make a submission again from its manifest and compare the file ## make reproduce SUB=20261122-054120-blend-mean-4107a5c8.csv
	@$(FOLDWISE) reproduce "$(SUB)" $(ARGS)

status: setup ## runs, submissions and scores, of all competitions or of COMP ## make status COMP=wildlife
	@$(FOLDWISE) status $(if $(filter file,$(origin COMP)),,$(COMP)) $(ARGS)

test: setup ## every test this machine allows, and the names of those left out ## make test ARGS="-k folds"
	@$(PYTEST) -ra $(ARGS)

quick: setup ## the tests that neither train nor start a process, a minute and a half on two cores
	@$(PYTEST) -m "not slow and not gpu and not browser and not cluster and not realdata" $(ARGS)

lint: setup ## ruff format, ruff check, mypy; changes nothing
	@.venv/bin/ruff format --check $(CODE)
	@.venv/bin/ruff check $(CODE)
	@.venv/bin/mypy

docs: setup ## the documentation as a site in site/; a link that leads nowhere is an error
	@rm -rf site
	@.venv/bin/zensical build --clean --strict

reference: setup ## docs/reference/ anew, from the settings models and the command line
	@.venv/bin/python tools/reference.py

docs-serve: setup ## the same at localhost:8000, built anew when a page changes ## make docs-serve ARGS="--dev-addr localhost:8001"
	@.venv/bin/zensical serve $(ARGS)

bench: setup ## speed beside fastai, timm and the bare step, on generated photos or your own ## make bench IMAGES=../photos
	@.venv/bin/python benchmarks/speed.py $(if $(IMAGES),--images "$(IMAGES)") $(ARGS)

bench-quality: setup ## log loss at equal epochs, beside fastai ## make bench-quality IMAGES=../cifar10-small.zip
	@.venv/bin/python benchmarks/quality.py $(if $(IMAGES),--images "$(IMAGES)") $(ARGS)

bench-budget: setup ## log loss at equal time, beside fastai ## make bench-budget IMAGES=../cifar10-small.zip MINUTES=7 SEEDS=3
	@.venv/bin/python benchmarks/budget.py $(if $(IMAGES),--images "$(IMAGES)") $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEEDS),--seeds $(SEEDS)) $(ARGS)

bench-blend: setup ## time and memory of blends of 20 runs, 100,000 rows, 120 classes ## make bench-blend ARGS="--rows 10000"
	@.venv/bin/python benchmarks/blending.py $(ARGS)

bench-cluster: setup ## two one-thread workers of a Ray cluster against one ## make bench-cluster ARGS="--rounds 5"
	@.venv/bin/python benchmarks/cluster.py $(ARGS)

bench-boards: setup ## the local score against hundreds of boards split off real sets ## make bench-boards DATA=../data ARGS="--boards 20"
	@.venv/bin/python benchmarks/boards.py $(if $(DATA),--data "$(DATA)") $(ARGS)

leak: setup ## local score against test score, by site and at random, on generated photos ## make leak ARGS="--rows 1000 --test-rows 500"
	@.venv/bin/python benchmarks/site_leak.py $(ARGS)

backbones: setup ## every timm model under 30 M parameters: built, a step of head and of all, saved, loaded; hours ## make backbones ARGS="vit_tiny_patch16_224 levit_128s"
	@.venv/bin/python benchmarks/backbones.py $(ARGS)

gpu: setup ## what only a CUDA device can show: tests, precisions, speed, memory; about six minutes ## make gpu SECONDS=360
	@.venv/bin/python benchmarks/gpu.py $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

torture: setup ## kills and malformed inputs; its last line counts what must not be ## make torture SECONDS=600 SEED=0
	@.venv/bin/python benchmarks/torture.py $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

clean: ## remove caches and build files; never data/, runs/, submissions/ or .venv
	@rm -rf build dist site .cache .pytest_cache .mypy_cache .ruff_cache .coverage htmlcov
	@find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
