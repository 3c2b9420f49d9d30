lab-ensure: ## Install what the lab needs (Debian, root)
	go run ./lab/cmd/lab ensure

lab-captures: ## Record the capture corpus anew (Linux, root); NAMES="a b" records a part
	go run ./lab/cmd/lab captures $(NAMES)

lab-verify: ## Decrypt the capture corpus with tshark and its key tables
	go run ./lab/cmd/lab verify

.PHONY: lab-ensure lab-captures lab-verify

lab-test-peer: ## Test a real peer with each of the lab's faults that can be seen from here, and write docs/test-peer.md
	go test -count=1 -timeout 30m -run 'TestATestOfAPeerNamesEachFault' ./cmd/cvlanctl -every-fault

.PHONY: lab-test-peer
