# Simulated lives of the IKEv2 engine: SEEDS of them, from FIRST on.
SEEDS ?= 10000
FIRST ?= 1

.PHONY: sim
sim: ## simulate SEEDS (default 10000) mixed lives of two engines, from seed FIRST
	$(GO) test -count=1 -timeout 60m -run TestMixedLives ./engine/enginetest -args -sim.seeds $(SEEDS) -sim.first $(FIRST)
