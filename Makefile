# Everyday tasks of Martlet; `make` alone lists them. ARGS="…" is passed on to the program that a target runs.

SHELL := bash
PREFIX ?= /usr/local
ARGS ?=

# With Swift's runtime inside, the program runs where no Swift is. Apple's systems have it.
static := $(if $(filter Linux,$(shell uname)),--static-swift-stdlib)
martlet := .build/release/martlet
version := $(shell sed -n 's/.*current = "\(.*\)"/\1/p' Sources/Martlet/Version.swift)
shell_scripts := $(wildcard scripts/*) .ci/run Examples/ShellWorker/worker

.PHONY: help
help: ## list what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: build ## build the server and run it; ARGS="--port 9000"
	$(martlet) serve $(ARGS)

.PHONY: demo
demo: build ## one task of each built-in type, watched to its end; starts a server if none runs
	scripts/demo $(martlet) $(ARGS)

.PHONY: build
build: ## build the program for release: .build/release/martlet
	@scripts/setup
	swift build -c release --product martlet $(static)

.PHONY: install
install: build ## copy the program to PREFIX/bin (/usr/local/bin)
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -s -m 755 $(martlet) "$(DESTDIR)$(PREFIX)/bin/martlet"

.PHONY: test
test: ## run all tests; ARGS="--filter CrashTests"
	@scripts/setup --test
	swift build --build-tests
	scripts/test $(ARGS)

.PHONY: chaos
chaos: ## real faults, by name: kills, partitions, power cuts, clocks, …; ARGS="--list", ARGS="fleet --seconds 600"
	@scripts/setup --test
	swift build --build-tests
	scripts/chaos $(ARGS)

.PHONY: soak
soak: build ## an hour of load and faults, and what grows; ARGS="--minutes 60 --rate 300"
	@scripts/setup --test
	scripts/soak $(ARGS)

.PHONY: fuzz
fuzz: ## feed the parsers with anything; ARGS="json cron --seconds 60"
	@scripts/setup
	scripts/fuzz $(ARGS)

.PHONY: hostile
hostile: ## the long form of attacks on the real program; root
	scripts/hostile $(ARGS)

.PHONY: simulate
simulate: ## live through seeded worlds full of faults; SEEDS=100000 for a night, ARGS="--seed 56" for one and its story
	@scripts/setup --test
	swift build -c release --product Simulate
	.build/release/Simulate $(if $(SEEDS),--seeds $(SEEDS)) $(ARGS)

.PHONY: sabotage
sabotage: ## put bugs in on purpose, and see after how many worlds each is found
	@scripts/setup --test
	swift build -c release --product Simulate
	.build/release/Simulate --sabotage $(ARGS)

.PHONY: lint
lint: ## check format, scripts, links, dashboards and alerts
	@scripts/setup --test
	swift format lint --strict --recursive Sources Tests Examples Package.swift
	shellcheck $(shell_scripts)
	scripts/lint-deploy
	scripts/check-links
	scripts/lint-monitoring

.PHONY: format
format: ## bring Swift code into its format
	swift format --in-place --recursive Sources Tests Examples Package.swift

.PHONY: bench
bench: build ## measure PostgreSQL beside peers and limits; ARGS="--rounds 1 --quick"
	@scripts/setup --bench
	Benchmarks/run $(ARGS)

.PHONY: bench-redis
bench-redis: build ## measure a fleet with Redis beside PostgreSQL and without; ARGS="--nodes 6 --rounds 3"
	@scripts/setup --bench
	Benchmarks/redis $(ARGS)

.PHONY: bench-embedded
bench-embedded: build ## measure SQLite; ARGS="--scenario submit --rounds 3"
	$(martlet) bench $(ARGS)

.PHONY: lint-deploy
lint-deploy: ## check deploy/ and the workflows alone
	@scripts/setup --test
	scripts/lint-deploy

.PHONY: image
image: ## build the image of a node; ARGS="--tag martlet:dev"
	scripts/image $(ARGS)

.PHONY: test-image
test-image: ## run the image as production does, and see that it works; IMAGE=martlet:dev
	scripts/test-image $(or $(IMAGE),martlet:$(version))

.PHONY: sbom
sbom: ## write the bill of materials of a build: martlet.cdx.json
	scripts/sbom $(ARGS)

.PHONY: clean
clean: ## remove what was built
	rm -rf .build
