lab-ensure: ## Install what the lab needs (Debian, root)
	go run ./lab/cmd/lab ensure

lab-captures: ## Record the capture corpus anew (Linux, root); NAMES="a b" records a part
	go run ./lab/cmd/lab captures $(NAMES)

lab-verify: ## Decrypt the capture corpus with tshark and its key tables
	go run ./lab/cmd/lab verify

.PHONY: lab-ensure lab-captures lab-verify
