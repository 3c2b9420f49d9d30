package native

import (
	"context"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
)

const byPolicy = "what it has comes from its policy file"

// Policies is not supported: the data plane's policies are not listed.
func (e *Engine) Policies(context.Context) ([]engine.Policy, error) {
	return nil, unsupportedBy("listing policies")
}

// Certificates is not supported.
func (e *Engine) Certificates(context.Context) ([]engine.Certificate, error) {
	return nil, unsupportedBy("listing certificates")
}

// Authorities is not supported.
func (e *Engine) Authorities(context.Context) ([]engine.Authority, error) {
	return nil, unsupportedBy("listing authorities")
}

// Pools lists none: the engine gives no addresses away.
func (e *Engine) Pools(context.Context, bool) ([]engine.Pool, error) { return nil, nil }

// Algorithms is not supported.
func (e *Engine) Algorithms(context.Context) ([]engine.Algorithm, error) {
	return nil, unsupportedBy("listing algorithms")
}

// Counters is not supported.
func (e *Engine) Counters(context.Context, string) (engine.Counters, error) {
	return engine.Counters{}, unsupportedBy("counters")
}

// ResetCounters is not supported.
func (e *Engine) ResetCounters(context.Context, string) error { return unsupportedBy("counters") }

// Credentials is not supported.
func (e *Engine) Credentials(context.Context) (backend.Credentials, error) {
	return backend.Credentials{}, unsupportedBy("listing credentials")
}

// Redirect is not supported.
func (e *Engine) Redirect(context.Context, backend.Target, string) (int, error) {
	return 0, unsupportedBy("redirection (RFC 5685)")
}

// Install is not supported.
func (e *Engine) Install(context.Context, backend.Target) error {
	return unsupportedBy("trap and shunt policies")
}

// Uninstall is not supported.
func (e *Engine) Uninstall(context.Context, backend.Target) error {
	return unsupportedBy("trap and shunt policies")
}

// ReloadSettings is not supported.
func (e *Engine) ReloadSettings(context.Context) error { return unsupportedBy(byPolicy) }

// LoadConnection is not supported.
func (e *Engine) LoadConnection(context.Context, string, *backend.Section) error {
	return unsupportedBy(byPolicy)
}

// UnloadConnection is not supported.
func (e *Engine) UnloadConnection(context.Context, string) error { return unsupportedBy(byPolicy) }

// LoadAuthority is not supported.
func (e *Engine) LoadAuthority(context.Context, string, *backend.Section) error {
	return unsupportedBy(byPolicy)
}

// UnloadAuthority is not supported.
func (e *Engine) UnloadAuthority(context.Context, string) error { return unsupportedBy(byPolicy) }

// LoadPool is not supported.
func (e *Engine) LoadPool(context.Context, string, *backend.Section) error {
	return unsupportedBy(byPolicy)
}

// UnloadPool is not supported.
func (e *Engine) UnloadPool(context.Context, string) error { return unsupportedBy(byPolicy) }

// LoadCertificate is not supported.
func (e *Engine) LoadCertificate(context.Context, backend.CertificateData) error {
	return unsupportedBy(byPolicy)
}

// LoadKey is not supported.
func (e *Engine) LoadKey(context.Context, backend.KeyData) (string, error) {
	return "", unsupportedBy(byPolicy)
}

// UnloadKey is not supported.
func (e *Engine) UnloadKey(context.Context, string) error { return unsupportedBy(byPolicy) }

// LoadToken is not supported.
func (e *Engine) LoadToken(context.Context, backend.TokenData) (string, error) {
	return "", unsupportedBy(byPolicy)
}

// LoadSecret is not supported.
func (e *Engine) LoadSecret(context.Context, backend.Secret) error { return unsupportedBy(byPolicy) }

// UnloadSecret is not supported.
func (e *Engine) UnloadSecret(context.Context, string) error { return unsupportedBy(byPolicy) }

// FlushCertificates is not supported.
func (e *Engine) FlushCertificates(context.Context, string) error { return unsupportedBy(byPolicy) }

// ClearCredentials is not supported.
func (e *Engine) ClearCredentials(context.Context) error { return unsupportedBy(byPolicy) }

var _ backend.Backend = (*Engine)(nil)
