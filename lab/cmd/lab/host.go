package main

import (
	"context"
	"encoding/json"
	"os"

	"github.com/cloudvlan/cvlanctl/diag/probe"
)

// host tells of the host that it runs on: a guest is looked at from within.
func host(ctx context.Context, _ []string) error {
	return json.NewEncoder(os.Stdout).Encode(probe.Host(ctx, probe.Options{}))
}
