# `make run` and `make test` work from a fresh clone on a machine with Rust's toolchain.

.PHONY: run test lint test-gpu test-cuda-on-cpu test-without-llvm bench bench-peers bench-learning docs llvm

# LLVM is looked for, then installed, then done without: `tools/llvm.sh` prints the flags and environment for cargo.
LLVM := $(shell sh tools/llvm.sh)
CARGO = env $(filter-out --%,$(LLVM)) cargo
FLAGS = $(filter --%,$(LLVM))
DIGITS = specs/vision/digits

run:
	$(CARGO) build --release $(FLAGS)
	target/release/tw run specs/vision/vit.tw --preset digits --weights $(DIGITS)/weights.safetensors \
		--input pixels=$(DIGITS)/held_out.npz:pixels --labels $(DIGITS)/held_out.npz:labels --show 5 --repeat 20

test:
	$(CARGO) test --release --workspace $(FLAGS)

lint:
	cargo fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets $(FLAGS) -- --deny warnings

# The pure-Rust build, as on a machine without LLVM.
test-without-llvm:
	cargo test --release --workspace --no-default-features

# Models and random graphs on a GPU, or on Mesa's lavapipe, which needs none; and CUDA kernels through NVRTC. What is
# missing is skipped, saying so.
test-gpu:
	$(CARGO) test --release $(FLAGS) --features wgpu,cuda --test specs --test differential gpu -- --nocapture
	$(CARGO) test --release $(FLAGS) --test cuda -- --nocapture

# The same CUDA kernels without an NVIDIA GPU: a driver and a compiler that run them on the CPU; see tests/cuda/device.cpp.
CUDA = target/cuda
test-cuda-on-cpu: $(CUDA)/libcuda.so.1
	LD_LIBRARY_PATH=$(CUDA) TILEWRIGHT_CACHE=$(CUDA)/cache $(CARGO) test --release $(FLAGS) --features cuda \
		--test specs --test differential gpu -- --nocapture
	LD_LIBRARY_PATH=$(CUDA) $(CARGO) test --release $(FLAGS) -p tilewright-runtime --features tilewright-runtime/cuda --lib cuda

$(CUDA)/libcuda.so.1: tests/cuda/device.cpp
	mkdir -p $(CUDA)
	g++ -std=c++17 -O1 -shared -fPIC $< -o $@ -ldl
	cp $@ $(CUDA)/libnvrtc.so

bench:
	$(CARGO) bench $(FLAGS)

# Against other engines, in turns, inference and then training; see benches/peers. `make bench-peers ROWS="vit resnet"
# THREADS=1` runs some rows of inference; TINY=1 tries it out.
PEERS = target/peers
TW = target/release/tw
bench-peers: $(PEERS)/installed
	$(if $(filter target/release/tw,$(TW)),$(CARGO) build --release $(FLAGS))
	$(PEERS)/bin/python benches/peers/run.py --tw $(abspath $(TW)) $(if $(ROWS),--rows $(ROWS)) \
		$(if $(THREADS),--threads $(THREADS)) $(if $(ENGINES),--engines $(ENGINES)) \
		$(if $(PRECISION),--precisions $(PRECISION)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(TINY),--tiny)
	$(if $(ROWS)$(TINY),,$(MAKE) bench-learning)

bench-learning: $(PEERS)/installed
	$(if $(filter target/release/tw,$(TW)),$(CARGO) build --release $(FLAGS))
	$(PEERS)/bin/python benches/peers/learning.py --tw $(abspath $(TW)) $(if $(ROWS),--rows $(ROWS)) \
		$(if $(THREADS),--threads $(THREADS)) $(if $(ENGINES),--engines $(ENGINES)) $(if $(ROUNDS),--rounds $(ROUNDS))

$(PEERS)/installed: benches/peers/requirements.txt benches/peers/requirements-optional.txt tests/goldens/requirements.txt
	python3 -m venv $(PEERS)
	$(PEERS)/bin/pip install -q -r benches/peers/requirements.txt
	$(PEERS)/bin/pip install -q -r benches/peers/requirements-optional.txt || echo "skipped: what is optional"
	touch $@

docs:
	TILEWRIGHT_BLESS=1 $(CARGO) test --release $(FLAGS) --test docs
	$(CARGO) doc --no-deps --workspace $(FLAGS)

# Installs LLVM from the system's packages, and says what is there.
llvm:
	@echo $(LLVM)
