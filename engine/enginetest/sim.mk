# Simulated lives of the IKEv2 engine: SEEDS of them, from FIRST on.
SEEDS ?= 10000
FIRST ?= 1

.PHONY: sim
sim: ## simulate SEEDS (default 10000) mixed lives of two engines, from seed FIRST
	$(GO) test -count=1 -timeout 60m -run TestMixedLives ./engine/enginetest -args -sim.seeds $(SEEDS) -sim.first $(FIRST)

# Statements that the engine's own tests reach: those of the control plane with the
# simulated network, those of the traffic with real peers (Linux, root).
.PHONY: cover-engine cover-traffic
cover-engine: ## measure the coverage of engine/ike, suite and auth; fail under 90 %
	$(GO) test -coverprofile=coverage.out -coverpkg=./engine/ike,./engine/suite,./engine/auth ./engine/ike ./engine/suite ./engine/auth ./engine/enginetest
	$(covered)

cover-traffic: ## measure the coverage of engine/esp and native; fail under 90 %
	$(GO) test -coverprofile=coverage.out -coverpkg=./engine/esp,./engine/native ./engine/esp ./engine/native ./engine/vici/serve
	$(covered)

# covered fails where one of the packages of a profile is covered by less than 90 %.
covered = @awk -F '[: ]' 'FNR > 1 { n[$$1":"$$2] = $$3; if ($$4 > 0) hit[$$1":"$$2] = 1 } \
  END { for (k in n) { p = k; sub("/[^/]*$$", "", p); all[p] += n[k]; if (k in hit) got[p] += n[k] } \
  for (p in all) { c = 100 * got[p] / all[p]; printf "%s %.1f %%\n", p, c; if (c < 90) low = 1 }; exit low }' coverage.out
