# Simulated lives of the IKEv2 engine: SEEDS of them, from FIRST on.
SEEDS ?= 10000
FIRST ?= 1

.PHONY: sim
sim: ## simulate SEEDS (default 10000) mixed lives of two engines, from seed FIRST
	$(GO) test -count=1 -timeout 60m -run TestMixedLives ./engine/enginetest -args -sim.seeds $(SEEDS) -sim.first $(FIRST)

# Statements of the control plane that its own tests and the simulated network reach.
.PHONY: cover-engine
cover-engine: ## measure the coverage of engine/ike, suite and auth; fail under 90 %
	$(GO) test -coverprofile=coverage.out -coverpkg=./engine/ike,./engine/suite,./engine/auth ./engine/ike ./engine/suite ./engine/auth ./engine/enginetest
	@awk -F '[: ]' 'FNR > 1 { n[$$1":"$$2] = $$3; if ($$4 > 0) hit[$$1":"$$2] = 1 } \
	  END { for (k in n) { p = k; sub("/[^/]*$$", "", p); all[p] += n[k]; if (k in hit) got[p] += n[k] } \
	  for (p in all) { c = 100 * got[p] / all[p]; printf "%s %.1f %%\n", p, c; if (c < 90) low = 1 }; exit low }' coverage.out
