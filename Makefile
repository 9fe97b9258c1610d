# Two commands matter: `make demo` runs the demonstration, `make test` passes the tests. Both set up what they need.

SHELL := /bin/bash
BIN := target/debug
# The libtorch that the worker is linked against; see scripts/libtorch.sh.
SETUP := scripts/libtorch.sh
# What is kept for all checkouts; nasm stands there where the system has none.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/scalelaw
export PATH := $(PATH):$(CACHE)/nasm/usr/bin

.PHONY: help demo transfer-demo families learning-rates paper test soak fuzz lint setup build data reports bench-train bench-train-gpu bench-data bench-sched bench-plan bench-fit clean

help:
	@echo "make demo     set everything up, run sweeps/demo.toml, write its report (about 10 minutes on 2 cores)"
	@echo "make transfer-demo  the same with fine-tuning: sweeps/transfer-demo.toml (about 8 minutes on 2 cores)"
	@echo "make families  ConvNets against Vision Transformers: sweeps/families.toml (about 20 minutes on 2 cores)"
	@echo "make learning-rates  two trials against a full grid: sweeps/learning-rates.toml (about an hour on 2 cores)"
	@echo "make test     set everything up and run all tests"
	@echo "make soak     the scheduler's tests with 10,000 simulated sweeps and 5,000 kills (about 15 minutes)"
	@echo "make fuzz     run every parser on damaged input for a minute each (needs a nightly compiler)"
	@echo "make lint     check formatting and clippy"
	@echo "make build    build scalelaw and scalelaw-worker into $(BIN)"
	@echo "make bench-train  images per second against PyTorch (fetches PyTorch, about 3 GB; 40 minutes on 2 cores)"
	@echo "make bench-train-gpu  the same on one NVIDIA GPU"
	@echo "make bench-data  pictures per second from JPEG files to batches, against other loaders (fetches them, about 5.5 GB)"
	@echo "make bench-sched  tasks per second and CPU per task against other schedulers (fetches them)"
	@echo "make bench-fit  surface fits and their resamples against SciPy (fetches it)"
	@echo "make bench-plan  seconds to plan and to apply a sweep of 100,000 cells"
	@echo "make reports  write everything under reports/ again, with the runs that it takes (about 40 minutes on 2 cores)"

setup:
	@scripts/nasm.sh
	@$(SETUP)

build: setup
	cargo build --locked --package cli --package train --bins

data: build
	@$(BIN)/scalelaw data fetch fashion-mnist >/dev/null

demo: data
	$(BIN)/scalelaw run sweeps/demo.toml
	$(BIN)/scalelaw verify samples demo
	# Exit code 4: the data of this machine do not carry the law, which is an answer.
	for law in frontier saturating lr; do $(BIN)/scalelaw fit $$law demo || test $$? = 4 || exit; done
	@echo; echo "The report, its figures and the table of runs:"
	@$(BIN)/scalelaw report demo

transfer-demo: data
	$(BIN)/scalelaw run sweeps/transfer-demo.toml
	$(BIN)/scalelaw verify samples transfer-demo
	$(BIN)/scalelaw report transfer-demo --compute flops

families: data
	$(BIN)/scalelaw run sweeps/families.toml
	$(BIN)/scalelaw verify samples families
	$(BIN)/scalelaw compare families --out reports/families || test $$? = 4

learning-rates: data
	$(BIN)/scalelaw run sweeps/learning-rates.toml
	$(BIN)/scalelaw export csv learning-rates --out reports/learning-rates/runs.csv
	$(BIN)/scalelaw plot lr learning-rates
	$(BIN)/scalelaw search learning-rates | tee reports/learning-rates/table.md

# pandas and polars, by which the tests read what is exported; where they cannot be had, the tests say that they do not.
READERS := $(CACHE)/export-readers

$(READERS)/ready: scripts/examples/requirements.txt
	@{ rm -f $@ && python3 -m venv $(READERS) && \
	    $(READERS)/bin/pip install --quiet --disable-pip-version-check --no-compile -r $< && touch $@; } || \
	    echo "pandas and polars do not install here: exports are not read with them" >&2

# Built as the tests are, programs and all: alone they would be built with other features of the same libraries, so twice. Where no
# browser can be had, pages are not opened in one, and the tests say so.
test: setup $(READERS)/ready
	@scripts/chromium.sh >/dev/null & cargo test --locked --workspace --no-run && wait
	@$(BIN)/scalelaw data fetch fashion-mnist >/dev/null
	SCALELAW_REQUIRE_WORKER=1 SCALELAW_CHROMIUM="$$(scripts/chromium.sh)" \
	    SCALELAW_PYTHON="$$(test ! -e $(READERS)/ready || echo $(READERS)/bin/python)" \
	    cargo test --locked --workspace

soak: data
	SCALELAW_SEEDS=10000 cargo test --locked -p sched simulated
	SCALELAW_KILLS=5000 cargo test --locked -p cli --test it -- kills_lose_nothing --nocapture

fuzz:
	@scripts/nasm.sh
	scripts/fuzz.sh

lint: setup
	cargo fmt --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

# All that is shipped under reports/ but the learning rates, which take an hour: the paper's figures from its points, the others from
# their runs, which are made where .scalelaw has none.
reports: paper demo transfer-demo families
	$(BIN)/scalelaw data head fashion-mnist --count 4 --versions 6 --out reports/demo/sheet.png

paper: data
	$(BIN)/scalelaw fit frontier --points reports/paper/figure2_heldout_loss.csv \
	    --compute-column tpuv4_core_hours --loss-column jft4b_validation_loss
	$(BIN)/scalelaw plot scaling --points reports/paper/figure2_heldout_loss.csv --out reports/paper \
	    --compute-column tpuv4_core_hours --loss-column jft4b_validation_loss \
	    --x-label "TPU-v4 core hours" --y-label "JFT-4B held-out loss"
	$(BIN)/scalelaw plot transfer --points reports/paper/figure1_imagenet_error.csv --out reports/paper \
	    --overlay reports/paper/figure1_others.csv \
	    --compute-column tpuv4_core_hours --loss-column imagenet_top1_error_pct \
	    --x-label "TPU-v4 core hours" --y-label "ImageNet top-1 error (%)"
	$(BIN)/scalelaw plot optimal-lr --points reports/paper/figure3_optimal_lr.csv --lr-column optimal_lr --out reports/paper

# PyTorch and timm in a virtual environment of their own; kept, since it is large.
BENCH_VENV := $(CACHE)/pytorch-2.11.0

$(BENCH_VENV)/ready:
	python3 -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/pip install --quiet -r scripts/pytorch-requirements.txt
	touch $@

bench-train: data $(BENCH_VENV)/ready
	$(BENCH_VENV)/bin/python scripts/bench_train.py

bench-train-gpu: data $(BENCH_VENV)/ready
	$(BENCH_VENV)/bin/python scripts/bench_train_gpu.py

# The peers of the data pipeline. What does not install on a machine is left out there.
DATA_VENV := $(CACHE)/data-peers-torch-2.11.0

$(DATA_VENV)/ready:
	python3 -m venv $(DATA_VENV)
	$(DATA_VENV)/bin/pip install --quiet -r scripts/data-requirements.txt
	$(DATA_VENV)/bin/pip install --quiet nvidia-dali-cuda130==2.4.0 || echo "DALI does not install here and is left out"
	$(DATA_VENV)/bin/pip install --quiet -r scripts/streaming-requirements.txt && \
	    $(DATA_VENV)/bin/pip install --quiet --no-deps mosaicml-streaming==0.13.0 || echo "streaming does not install here and is left out"
	scripts/ffcv.sh $(DATA_VENV) || echo "ffcv does not build here and is left out"
	touch $@

bench-data: setup $(DATA_VENV)/ready
	cargo build --locked --package cli
	$(DATA_VENV)/bin/python scripts/bench_data.py

# Schedulers to compare with. GNU parallel and task-spooler are used where the machine has them.
SCHED_VENV := $(CACHE)/sched-peers

$(SCHED_VENV)/ready:
	python3 -m venv $(SCHED_VENV)
	$(SCHED_VENV)/bin/pip install --quiet hyperqueue==0.27.0 optuna==5.0.0
	touch $@

bench-sched: setup $(SCHED_VENV)/ready
	cargo build --locked --package cli
	$(SCHED_VENV)/bin/python scripts/bench_sched.py

# NumPy and SciPy, to compare fits with.
FIT_VENV := $(CACHE)/fit-peers

$(FIT_VENV)/ready:
	python3 -m venv $(FIT_VENV)
	$(FIT_VENV)/bin/pip install --quiet numpy==2.4.6 scipy==1.17.1
	touch $@

bench-fit: $(FIT_VENV)/ready
	cargo build --locked --release --package fit --example surface
	$(FIT_VENV)/bin/python scripts/bench_fit.py --converged

bench-plan:
	cargo run --locked --package store --example large_sweep

clean:
	cargo clean
