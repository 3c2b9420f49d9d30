lab-ensure: ## Install what the lab needs (Debian, root)
	go run ./lab/cmd/lab ensure

lab-captures: ## Record the capture corpus anew (Linux, root); NAMES="a b" records a part
	go run ./lab/cmd/lab captures $(NAMES)

lab-verify: ## Decrypt the capture corpus with tshark and its key tables
	go run ./lab/cmd/lab verify

.PHONY: lab-ensure lab-captures lab-verify

lab-test-peer: ## Test a real peer with each fault that can be seen from here, try the ladder, let peers call, and write docs/test-peer.md
	go test -count=1 -timeout 30m -run 'TestATestOfAPeerNamesEachFault|TestTheLadderNames|TestAPeerThatCalls' ./cmd/cvlanctl -every-fault

.PHONY: lab-test-peer
