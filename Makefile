# Every target installs what it needs first (tools/setup.sh) and is a quick no-op there afterwards.
# Paths are relative throughout: the checkout may lie in a folder with any name.

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
python := .venv/bin/python

.PHONY: help setup setup-sanity setup-bench demo test prove run sanity bench lint proto manifests image cluster cluster-down e2e lock clean

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16
	@echo
	@echo "  SKIP=lane,lane make test    leaves lanes out, and says so"
	@echo "  LANES='unit wire' make test runs only these"

setup: ## install system packages, the locked environment and the project
	@sh tools/setup.sh

setup-sanity:
	@sh tools/setup.sh sanity

setup-bench:
	@sh tools/setup.sh bench

demo: setup ## see Holdall do its job, for real, on this machine
	@.venv/bin/holdall demo

test: setup-sanity ## a time-boxed slice of the lanes (15 minutes at most)
	@$(python) -m tools.lanes test $(LANES)

prove: setup-sanity ## everything at full size; writes docs/proof.md (hours)
	@$(python) -m tools.lanes prove $(LANES)

run: setup ## the driver in the foreground, its socket and default pool in out/run
	@mkdir -p out/run/state
	@.venv/bin/holdall all --state-dir out/run/state --endpoint "unix://$$PWD/out/run/csi.sock" --node-id local

sanity: setup-sanity ## csi-sanity over all backends; CELLS='btrfs directory/split' runs only these
	@$(python) -m sanity.matrix $(CELLS)

bench: setup-bench ## measure rates, latencies, memory and IO
	@$(python) -m tools.bench $(if $(SCALE),--scale $(SCALE))

lint: setup ## style, types, layers, protocol stubs, forbidden names
	@$(python) -m tools.lint

proto: setup ## regenerate the protocol stubs beside their .proto files
	@$(python) tools/proto.py

manifests: setup ## render deploy/manifests from the Helm chart
	@$(python) -m tools.chart

image: setup-sanity ## the image's root filesystem in out/image, without a container engine
	@rm -rf out/image
	@sh deploy/image/rootfs.sh "$$PWD/out/image"

cluster: setup-sanity ## a real Kubernetes of two nodes in out/cluster; `make cluster-down` ends it
	@$(python) -m tests.e2e.cluster up

e2e: setup-sanity ## claims and pods in a real Kubernetes, as a lane of its own (the first time it builds Kubernetes, in 10 to 30 minutes)
	@$(python) -m tools.lanes test e2e

cluster-down: setup
	@$(python) -m tests.e2e.cluster down

lock: ## renew the lock files; UPGRADE=1 takes the newest of everything
	@sh tools/lock.sh $(if $(UPGRADE),--upgrade)

clean: ## remove what was built or measured; volumes made by `make run` stay in out/run
	@! grep -qF "$$(printf '%s' "$$PWD" | sed 's/ /\\040/g')/out/tmp/" /proc/self/mountinfo || { echo "something below out/tmp is still mounted" >&2; exit 1; }
	@! [ -e out/cluster/cluster.json ] || { echo "a cluster runs in out/cluster: make cluster-down" >&2; exit 1; }
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	! [ -d out ] || find out -mindepth 1 -maxdepth 1 ! -name run -exec rm -rf {} +
	find . -name out -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
