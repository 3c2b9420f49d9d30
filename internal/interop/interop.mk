# Packages whose tests, named TestInterop..., record rows with real peers.
INTEROP ?= $(sort $(dir $(shell grep -rl --include='*_test.go' 'interop[.]Open' .)))

interop: ## run the engine against every real peer and write docs/interop.md (INTEROP=./engine/link for a part)
	$(GO) build ./...
	$(if $(filter file,$(origin INTEROP)),rm -f testdata/interop/*.jsonl)
	CVLANCTL_INTEROP=$(CURDIR)/testdata/interop $(GO) test -p 1 -count 1 -timeout 150m -run '^TestInterop' $(INTEROP); \
	status=$$?; $(GO) run ./internal/gendocs && exit $$status

.PHONY: interop

flood: ## have 50,000 spoofed IKE_SA_INIT a second come to our engine (Linux, root)
	CVLANCTL_FLOOD=$(CURDIR)/docs/performance.md $(GO) test -count 1 -v -run '^TestAFlood' ./internal/interop

.PHONY: flood
