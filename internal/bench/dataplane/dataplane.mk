bench-dataplane: ## measure traffic through our engine's tunnels beside strongSwan's and wireguard-go's (Linux, root)
	$(GO) run ./internal/bench/dataplane $(BENCHFLAGS)

.PHONY: bench-dataplane
