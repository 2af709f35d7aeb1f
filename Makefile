# The commands of contributors. `make` without a target builds.
SHELL := /bin/bash
GO    ?= go
NODE  := $(CURDIR)/.cache/node
export PATH := $(NODE)/bin:$(PATH)

# The race detector instruments all packages except SQLite's translation from C, the
# compiler of WebAssembly, and Brotli, which take ten times as long under it. None of them
# synchronizes goroutines: without the instrumentation of a package that does, the detector
# would report false races.
WAZEVO    := github.com/tetratelabs/wazero/internal/engine/wazevo
UNWATCHED := modernc.org/sqlite/lib $(WAZEVO)/ssa $(WAZEVO)/frontend $(WAZEVO)/backend/... github.com/andybalholm/brotli/...
RACE      := LATEEN_TEST_PROGRAM=$(CURDIR)/bin/lateen GORACE=atexit_sleep_ms=0 GOFLAGS="$$GOFLAGS $(UNWATCHED:%=-gcflags=%=-race=false)"

.DEFAULT_GOAL := build
.PHONY: help build demo demo-stop test lint unit e2e gates majors nightly fuzz vulncheck benchstat examples bench bench-engine bench-keepalive generate native release release-snapshot setup clean

help: ## lists these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

build: ## bin/lateen
	CGO_ENABLED=0 $(GO) build -buildvcs=auto -trimpath -ldflags '-s -w' -o bin/lateen ./cmd/lateen

demo: build ## a Next.js application on this machine, from nothing to a URL
	scripts/demo.sh

demo-stop: ## stops the platform of `make demo`
	scripts/demo.sh stop

test: setup lint unit e2e ## all tests, on a machine that has Go, git and make

lint: ## linters, and vet for this system and for macOS
	GOOS=darwin $(GO) vet ./...
	$(GO) tool -modfile=tools/golangci-lint.mod golangci-lint run ./...

setup: ## installs the requirements of the tests: Node, PostgreSQL, Chromium
	scripts/setup.sh

unit: build ## tests of packages, with the race detector, on SQLite and PostgreSQL
	$(RACE) scripts/postgres.sh run $(GO) test -race -timeout 40m ./...
	$(GO) test -run Allocates ./internal/route

examples: ## builds every example with its own framework
	scripts/node.sh
	scripts/examples.sh

e2e: build examples ## real frameworks, the real CLI, a real browser
	$(RACE) $(GO) test -race -tags e2e -timeout 40m ./test/e2e ./test/vercel
	$(RACE) $(GO) test -race -tags e2e -timeout 40m ./test/hostile # alone: it attacks the machine

gates: ## limits of forked processes, with a thousand of each kind and hundreds of templates, in 5 to 15 minutes
	$(GO) test -tags e2e -timeout 30m -run 'AThousand|Hundreds' ./internal/engine/local

majors: build ## examples with older versions of their frameworks, and Analog
	scripts/node.sh
	scripts/majors.sh
	$(GO) test -tags e2e -timeout 40m -run 'TestExampleServes//lateen' ./test/e2e -args -examples $(CURDIR)/.cache/majors

nightly: build examples gates majors ## tests that take too long for every change: older frameworks, and half an hour of attacks on each runtime
	$(GO) test -tags e2e -timeout 60m -v -run TestEveryVisitorGetsTheAnswerToItsOwnRequest ./test/e2e -args -desync 30m # all runtimes at once

fuzz: ## runs every fuzz target, FUZZTIME=1m each
	scripts/fuzz.sh '$(FUZZTIME)'

vulncheck: ## looks for known vulnerabilities in the code that the binary calls; needs the network
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./cmd/lateen

benchstat: ## compares the benchmarks of PACKAGES with those of a commit, BASE=origin/main
	scripts/benchstat.sh '$(BASE)' $(PACKAGES)

bench: build examples ## measures the platform, and writes docs/benchmarks.md
	$(GO) run ./test/bench

bench-engine: build examples ## measures how functions start and idle, ARGS='-n 0.1 -only starts', and writes docs/benchmarks-engine.md
	$(GO) run ./test/bench -engine $(ARGS)

bench-keepalive: ## replays recorded arrivals, TRACES=DIR, and writes docs/keep-alive.md
	$(GO) run ./test/keepalive -traces '$(TRACES)'

native: ## builds the embedded objects from C, for every architecture; needs both cross compilers
	scripts/native.sh

generate: ## reference pages, OpenAPI
	$(GO) test ./internal ./internal/cli ./internal/api -run 'Reference|OpenAPI|Golden|Help|Words' -update

release-snapshot: ## builds dist/ as a release would, except for the container image, and publishes nothing
	$(GO) tool -modfile=tools/goreleaser.mod goreleaser check
	$(GO) tool -modfile=tools/goreleaser.mod goreleaser release --snapshot --clean --skip=ko,publish

release: ## publishes the release of the tag at HEAD; runs in CI
	$(GO) tool -modfile=tools/goreleaser.mod goreleaser release --clean

clean: ## removes the files that these targets create
	rm -rf bin dist .cache .lateen
