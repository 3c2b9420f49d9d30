bench-engine: ## measure our IKE engine beside strongSwan's charon (Linux, root)
	$(GO) run ./internal/bench/engine $(BENCHFLAGS)

.PHONY: bench-engine
