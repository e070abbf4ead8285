# `make run` and `make test` work from a fresh clone on a machine with Rust's toolchain.

.PHONY: run test test-without-llvm bench docs llvm

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

# The pure-Rust build, as on a machine without LLVM.
test-without-llvm:
	cargo test --release --workspace --no-default-features

bench:
	$(CARGO) bench $(FLAGS)

docs:
	TILEWRIGHT_BLESS=1 $(CARGO) test --release $(FLAGS) --test docs
	$(CARGO) doc --no-deps --workspace $(FLAGS)

# Installs LLVM from the system's packages, and says what is there.
llvm:
	@echo $(LLVM)
