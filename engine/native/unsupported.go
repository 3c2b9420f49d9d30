package native

import (
	"context"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
)

// Pools lists none: the engine gives no addresses away.
func (e *Engine) Pools(context.Context, bool) ([]engine.Pool, error) { return nil, nil }

// Redirect is not supported.
func (e *Engine) Redirect(context.Context, backend.Target, string) (int, error) {
	return 0, unsupportedBy("redirection (RFC 5685)")
}

// ReloadSettings is not supported.
func (e *Engine) ReloadSettings(context.Context) error {
	return unsupportedBy("reloading: what it has comes from its policy file and from what was loaded")
}

// LoadPool is not supported.
func (e *Engine) LoadPool(context.Context, string, *backend.Section) error {
	return unsupportedBy("pools of virtual addresses")
}

// UnloadPool is not supported.
func (e *Engine) UnloadPool(context.Context, string) error {
	return unsupportedBy("pools of virtual addresses")
}

// LoadToken is not supported.
func (e *Engine) LoadToken(context.Context, backend.TokenData) (string, error) {
	return "", unsupportedBy("keys on tokens")
}

var _ backend.Backend = (*Engine)(nil)
