# cvlanctl: `make help` lists what there is to make.

export CGO_ENABLED = 0
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS = -s -w -X github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli.version=$(VERSION)
FUZZTIME ?= 30s
FUZZIN ?= .
FUZZFLAGS ?=
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2

.DEFAULT_GOAL := help
.PHONY: help build demo test race fuzz fuzz-engine bench bench-decode bench-tui cover lint fmt docs docs-check cross clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/cvlanctl, one static binary
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/cvlanctl ./cmd/cvlanctl

demo: build ## two engines and a NAT on loopback: the screen in a terminal, events without one
	bin/cvlanctl demo $(DEMOFLAGS)

test: ## vet and run every test; say at the end which were skipped and why
	$(GO) vet ./...
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then $(GO) run ./lab/cmd/lab ensure; \
	else echo "not root, or no apt-get: tests against real peers will be skipped"; fi
	$(GO) run ./internal/testrun $(TESTFLAGS) ./...

race: ## run every test under the race detector
	CGO_ENABLED=1 $(GO) run ./internal/testrun -race $(TESTFLAGS) ./...

fuzz: ## run every fuzz target below FUZZIN (default .) for FUZZTIME (default 30s each)
	@set -e; for file in $$(grep -rl --include='*_test.go' '^func Fuzz' $(FUZZIN)); do \
	  for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
	    echo "$$target in $$(dirname $$file)"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $(FUZZFLAGS) $$(dirname $$file); \
	  done; done

fuzz-engine: ## run the fuzz targets of IKE and ESP in each of their states, on one core
	@$(MAKE) --no-print-directory fuzz FUZZIN='./engine/ike ./engine/esp' FUZZFLAGS=-parallel=1

bench: ## run every benchmark
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-decode: build ## compare decoding speed with tshark and a bare gopacket loop
	$(GO) run ./internal/bench -binary bin/cvlanctl $(BENCHFLAGS)

bench-tui: ## time the frames of a live screen with 5,000 connections and 2,000 SAs
	$(GO) test -run '^$$' -bench ScreenOfALargeDaemon -benchtime 20s ./cmd/cvlanctl/cli

cover: ## measure test coverage, in coverage.out
	$(GO) test -coverprofile=coverage.out ./...
	$(GO) tool cover -func=coverage.out | tail -1

lint: ## gofmt, vet and staticcheck
	@test -z "$$(gofmt -l .)" || { echo "not formatted:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(STATICCHECK) ./...

fmt: ## format every file
	gofmt -w .

docs: ## write the generated pages under docs/
	$(GO) run ./internal/gendocs

docs-check: ## fail where a generated page is not what the program would write
	$(GO) run ./internal/gendocs -check

cross: ## build for darwin and windows
	GOOS=darwin GOARCH=arm64 $(GO) build -o /dev/null ./...
	GOOS=windows GOARCH=amd64 $(GO) build -o /dev/null ./...

clean: ## delete what was built
	rm -rf bin build coverage.out

-include internal/interop/interop.mk
-include internal/bench/engine/engine.mk
-include internal/bench/dataplane/dataplane.mk
-include lab/lab.mk
-include engine/enginetest/sim.mk

# Break real tunnels in one way at a time, and write docs/accuracy.md.
lab-faults:
	go test -count=1 -parallel 6 -timeout 40m ./lab/faults -all
.PHONY: lab-faults
