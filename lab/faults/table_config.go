package faults

import (
	"crypto/elliptic"
	"crypto/x509"

	"github.com/cloudvlan/cvlanctl/lab"
)

// ecdsa is the kind of key of the certificates here.
var ecdsa = lab.ECDSA(elliptic.P256())

// signed gives each end a certificate of one root and lets change set
// something wrong.
func signed(change func(a, r *lab.End, root *lab.Identity) error) func(a, r *lab.End) error {
	return func(a, r *lab.End) error {
		root, err := lab.NewRoot("Lab Root CA", ecdsa)
		if err != nil {
			return err
		}
		for _, e := range []*lab.End{a, r} {
			leaf, err := root.NewLeaf(e.Local.ID, ecdsa)
			if err != nil {
				return err
			}
			if err := e.Present(leaf); err != nil {
				return err
			}
			e.Trust(root)
			e.Remote.Method = "pubkey"
		}
		return change(a, r, root)
	}
}

// shown has the initiator show another certificate than it has.
func shown(a *lab.End, id *lab.Identity) error {
	a.Local.Lines = nil
	return a.Present(id)
}

// configFaults are further settings of one end that do not fit the other's.
func configFaults() []Fault {
	const (
		noPPK      = "it has no PPK"
		noCRL      = "it asks no CRL and no OCSP responder"
		noChildess = "it always makes a child with its IKE SA"
	)
	byResponder := func(id string) map[Source]string { return refusedBy(VICIResponder, id, "auth-failed-opaque") }
	return []Fault{
		{Name: "weak algorithms on both sides", Want: everywhere("weak-crypto-negotiated"), Act: upAndPinged,
			Ends: both(func(e *lab.End) { e.Proposals = "aes128-sha1-modp1024" })},
		{Name: "responder insists on a PPK", Want: byResponder("ppk-mismatch"), NoEngine: map[Source]string{EngineResponder: noPPK},
			Ends: responder(func(e *lab.End) { e.Conn = append(e.Conn, "ppk_required = yes", "ppk_id = quantum") })},
		{Name: "initiator wants no child first, responder does not do that", Want: map[Source]string{VICIInitiator: "childless-mismatch"}, NoEngine: noEngine(noChildess),
			Hidden: "the initiator ends before it sends IKE_AUTH",
			Ends: func(a, r *lab.End) error {
				a.Conn, r.Conn = append(a.Conn, "childless = force"), append(r.Conn, "childless = never")
				return nil
			}},
		{Name: "initiator's certificate is revoked", Want: byResponder("cert-revoked"), NoEngine: map[Source]string{EngineResponder: noCRL},
			Ends: signed(func(a, r *lab.End, root *lab.Identity) error {
				leaf, err := root.NewLeaf(a.Local.ID, ecdsa)
				if err != nil {
					return err
				}
				if err := r.Revoke(root, leaf); err != nil {
					return err
				}
				return shown(a, leaf)
			})},
		{Name: "initiator does not send its certificate", Want: map[Source]string{VICIInitiator: "auth-failed-opaque", VICIResponder: "cert-not-sent", Keyed: "cert-not-sent", Sealed: "auth-failed-opaque"}, NoEngine: map[Source]string{EngineInitiator: "it always sends its certificate"},
			Ends: signed(func(a, _ *lab.End, _ *lab.Identity) error { a.Conn = append(a.Conn, "send_cert = never"); return nil })},
		{Name: "initiator has no private key", Want: map[Source]string{VICIInitiator: "private-key-missing"}, Hidden: "the initiator ends before it sends IKE_AUTH",
			Ends: signed(func(a, _ *lab.End, _ *lab.Identity) error { a.LoseKeys(); return nil })},
		{Name: "initiator's certificate is not for signatures", Want: byResponder("cert-eku-or-keyusage"),
			Ends: signed(func(a, _ *lab.End, root *lab.Identity) error {
				leaf, err := root.NewShaped(a.Local.ID, false, ecdsa, func(t *x509.Certificate) { t.KeyUsage = x509.KeyUsageKeyEncipherment })
				if err != nil {
					return err
				}
				return shown(a, leaf)
			})},
		{Name: "initiator's chain is longer than its root allows", Want: byResponder("cert-path-policy"),
			Ends: signed(func(a, r *lab.End, _ *lab.Identity) error {
				root, err := (*lab.Identity)(nil).NewShaped("Lab Root CA", true, ecdsa, func(t *x509.Certificate) { t.MaxPathLenZero = true })
				if err != nil {
					return err
				}
				between, err := root.NewIntermediate("Lab Intermediate CA", ecdsa)
				if err != nil {
					return err
				}
				leaf, err := between.NewLeaf(a.Local.ID, ecdsa)
				if err != nil {
					return err
				}
				own, err := root.NewLeaf(r.Local.ID, ecdsa)
				if err != nil {
					return err
				}
				r.Local.Lines = nil
				if err := r.Present(own); err != nil {
					return err
				}
				a.Trust(root)
				r.Trust(root)
				return shown(a, leaf)
			})},
		{Name: "a distinguished name in another order", Want: map[Source]string{VICIInitiator: "auth-failed-opaque", VICIResponder: "responder-no-peer-config", EngineResponder: "dn-order-or-encoding-mismatch", Keyed: "auth-failed-opaque", Sealed: "auth-failed-opaque"},
			Ends: signed(func(a, r *lab.End, _ *lab.Identity) error {
				a.Local.ID, r.Remote.ID = "O=cvlanctl lab, CN=initiator.lab", "CN=initiator.lab, O=cvlanctl lab"
				return nil
			})},
		{Name: "initiator knows another EAP method", Want: map[Source]string{VICIInitiator: "eap-method-mismatch", VICIResponder: "eap-method-mismatch", Keyed: "eap-method-mismatch", Sealed: "auth-failed-opaque"},
			NoEngine: noEngine(noEAP), Ends: func(a, r *lab.End) error {
				if err := lab.UseEAP(a, r); err != nil {
					return err
				}
				a.Local.Method = "eap-tls"
				return nil
			}},
		{Name: "initiator asks for everything", Want: map[Source]string{VICIInitiator: "ts-unacceptable", EngineInitiator: "ts-any-vs-proxy-id", Host: "ts-unacceptable", EngineHost: "ts-any-vs-proxy-id", VICIResponder: "ts-any-vs-proxy-id", Keyed: "ts-any-vs-proxy-id"}, Hidden: alike,
			Ends: func(a, r *lab.End) error {
				a.LocalTS, a.RemoteTS = "0.0.0.0/0", "0.0.0.0/0"
				r.LocalTS, r.RemoteTS = "fd00:2::/64", "fd00:1::/64"
				return nil
			}},
		{Name: "initiator's ESP cannot do what was agreed", Want: map[Source]string{VICIInitiator: "sa-install-failed"}, Hidden: "the initiator deletes the child without saying why",
			NoEngine: noEngine("it agrees to nothing that it cannot do"),
			Ends: func(a, r *lab.End) error {
				a.ESP, r.ESP = "aes256-sha256", "aes256-sha256"
				a.Child = append(a.Child, "sha256_96 = yes") // which strongSwan's own ESP has not
				return nil
			}},
	}
}
