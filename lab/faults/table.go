package faults

import (
	"crypto/elliptic"

	"github.com/cloudvlan/cvlanctl/lab"
)

// The shapes of what the sources can see.

// everywhere is a fault that every source names alike.
func everywhere(id string) map[Source]string {
	return map[Source]string{VICIInitiator: id, VICIResponder: id, Keyed: id, Sealed: id}
}

// refusedBy is a refusal whose reason only the daemon that refuses knows; on
// the wire and at the other end it is the opaque one.
func refusedBy(who Source, id, opaque string) map[Source]string {
	m := everywhere(opaque)
	m[who] = id
	return m
}

// notAskedFor is a certificate of an authority that the responder does not trust:
// our engine compares its authorities with those that the responder names.
func notAskedFor() map[Source]string {
	m := refusedBy(VICIResponder, "cert-untrusted-issuer", "auth-failed-opaque")
	m[EngineInitiator] = "cert-untrusted-issuer"
	return m
}

// notVouchedFor is the same of the responder's certificate.
func notVouchedFor() map[Source]string {
	m := refusedBy(VICIInitiator, "cert-untrusted-issuer", "idr-mismatch")
	m[EngineResponder] = "cert-untrusted-issuer"
	return m
}

// withKeys is a fault that shows no more than a refusal without keys.
func withKeys(id string) map[Source]string {
	m := everywhere(id)
	delete(m, Sealed)
	return m
}

const alike = "without keys every refusal of a child looks alike"

// noEngine leaves our engine out of a fault, at both ends.
func noEngine(why string) map[Source]string {
	return map[Source]string{EngineInitiator: why, EngineResponder: why}
}

const (
	noEAP     = "it has no EAP"
	noVirtual = "it has no virtual addresses"
)

func both(change func(e *lab.End)) func(a, r *lab.End) error {
	return func(a, r *lab.End) error { change(a); change(r); return nil }
}

func initiator(change func(e *lab.End)) func(a, r *lab.End) error {
	return func(a, _ *lab.End) error { change(a); return nil }
}

func responder(change func(e *lab.End)) func(a, r *lab.End) error {
	return func(_, r *lab.End) error { change(r); return nil }
}

func psk(secret string) []string { return []string{"ike-lab {\nsecret = " + secret + "\n}"} }

// Faults is the table of what is set wrong.
func Faults() []Fault {
	l := append(proposalFaults(), identityFaults()...)
	l = append(l, certificateFaults()...)
	l = append(l, childFaults()...)
	l = append(l, pathFaults()...)
	l = append(l, boxFaults()...)
	l = append(l, hostFaults()...)
	l = append(l, configFaults()...)
	l = append(l, lifeFaults()...)
	l = append(l, roadFaults()...)
	l = append(l, nativeFaults()...)
	l = append(l, v6Faults()...)
	l = append(l, kernelFaults()...)
	l = append(l, peerFaults()...)
	return append(l, callFaults()...)
}

func proposalFaults() []Fault {
	ike := func(name, a, r, id string) Fault {
		return Fault{Name: name, Want: everywhere(id), Ends: func(x, y *lab.End) error { x.Proposals, y.Proposals = a, r; return nil }}
	}
	esp := func(name, a, r string) Fault {
		return Fault{Name: name, Want: withKeys("no-proposal-child-initial"), Hidden: alike, Ends: func(x, y *lab.End) error { x.ESP, y.ESP = a, r; return nil }}
	}
	return []Fault{
		ike("no IKE group in common", "aes256-sha256-modp2048", "aes256-sha256-ecp384", "no-proposal-ike"),
		ike("no IKE cipher in common", "aes256-sha256-ecp256", "aes256gcm16-prfsha256-ecp256", "no-proposal-ike"),
		ike("no IKE integrity in common", "aes256-sha256-ecp256", "aes256-sha512-ecp256", "no-proposal-ike"),
		ike("no IKE PRF in common", "aes256gcm16-prfsha256-ecp256", "aes256gcm16-prfsha512-ecp256", "no-proposal-ike"),
		{Name: "IKE key lengths differ", Want: map[Source]string{VICIInitiator: "no-proposal-ike", VICIResponder: "no-proposal-ike", EngineResponder: "keylength-mismatch", Keyed: "no-proposal-ike", Sealed: "no-proposal-ike"},
			Ends: func(a, r *lab.End) error {
				a.Proposals, r.Proposals = "aes128-sha256-ecp256", "aes256-sha256-ecp256"
				return nil
			}},
		ike("Curve25519 on one side only", "aes256gcm16-prfsha256-curve25519", "aes256gcm16-prfsha256-ecp521", "no-proposal-ike"),
		ike("ChaCha20 on one side only", "chacha20poly1305-prfsha256-ecp256", "aes256gcm16-prfsha256-ecp256", "no-proposal-ike"),
		ike("MODP groups differ", "aes256-sha256-modp2048", "aes256-sha256-modp4096", "no-proposal-ike"),
		ike("CCM against GCM", "aes256ccm16-prfsha256-ecp256", "aes256gcm16-prfsha256-ecp256", "no-proposal-ike"),
		ike("IKE integrity of another length", "aes256-sha384-ecp256", "aes256-sha256-ecp256", "no-proposal-ike"),
		ike("long list without a match", "aes256-sha256-ecp256,aes128-sha256-ecp256,aes256-sha512-ecp256", "aes256gcm16-prfsha384-ecp384", "no-proposal-ike"),
		esp("no ESP cipher in common", "aes256gcm16", "aes256-sha256"),
		esp("ESP key lengths differ", "aes128gcm16", "aes256gcm16"),
		esp("no ESP integrity in common", "aes256-sha256", "aes256-sha512"),
		esp("AES-CBC against ChaCha20", "aes256-sha256", "chacha20poly1305"),
		esp("ICV lengths differ", "aes256gcm16", "aes256gcm8"),
		esp("ESP with SHA-1 against SHA2-256", "aes256-sha1", "aes256-sha256"),
		esp("ESP in CCM against GCM", "aes256ccm16", "aes256gcm16"),
		esp("extended sequence numbers on one side only", "aes256gcm16-esn", "aes256gcm16-noesn"),
		{Name: "responder knows another address", Want: map[Source]string{VICIInitiator: "no-proposal-ike", VICIResponder: "no-ike-config-for-peer", Keyed: "no-proposal-ike", Sealed: "no-proposal-ike"},
			Ends: responder(func(e *lab.End) { e.RemoteAddrs = "203.0.113.9" })},
		{Name: "responder listens for another address of its own", Want: map[Source]string{VICIInitiator: "no-proposal-ike", VICIResponder: "no-ike-config-for-peer", Keyed: "no-proposal-ike", Sealed: "no-proposal-ike"},
			NoEngine: map[Source]string{EngineResponder: "it speaks from one address, and refuses a connection for another"},
			Ends:     responder(func(e *lab.End) { e.LocalAddrs = "203.0.113.9" })},
	}
}

func identityFaults() []Fault {
	secret := func(name, wrong string) Fault {
		return Fault{Name: name, Want: refusedBy(VICIResponder, "psk-mismatch", "auth-failed-opaque"), Ends: responder(func(e *lab.End) { e.Secrets = psk(wrong) })}
	}
	return []Fault{
		secret("another PSK", `"something else"`),
		secret("PSK with a space at its end", `"lab only: never use this "`),
		secret("PSK in other case", `"Lab only: never use this"`),
		secret("PSK read as hexadecimal", `0x6c6162`),
		secret("PSK read as base64", `0sbGFiIG9ubHk=`),
		secret("PSK with its quotes", `"'lab only: never use this'"`),
		secret("PSK without its spaces", `"labonly:neverusethis"`),
		secret("PSK cut short", `"lab only: never use thi"`),
		{Name: "responder has no PSK", Want: refusedBy(VICIResponder, "psk-not-found", "auth-failed-opaque"), Ends: responder(func(e *lab.End) { e.Secrets = nil })},
		{Name: "initiator has no PSK", Want: map[Source]string{VICIInitiator: "psk-not-found"}, Hidden: "the initiator ends before it sends IKE_AUTH",
			Ends: initiator(func(e *lab.End) { e.Secrets = nil })},
		{Name: "PSK for another identity", Want: refusedBy(VICIResponder, "psk-not-found", "auth-failed-opaque"),
			Ends: responder(func(e *lab.End) {
				e.Secrets = []string{"ike-lab {\nid = somebody.lab\nsecret = \"lab only: never use this\"\n}"}
			})},
		{Name: "initiator claims another identity", Want: refusedBy(VICIResponder, "responder-no-peer-config", "auth-failed-opaque"), Ends: initiator(func(e *lab.End) { e.Local.ID = "stranger.lab" })},
		{Name: "initiator asks for another identity", Want: refusedBy(VICIResponder, "responder-no-peer-config", "auth-failed-opaque"), Ends: initiator(func(e *lab.End) { e.Remote.ID = "stranger.lab" })},
		{Name: "initiator claims its address", Want: refusedBy(VICIResponder, "responder-no-peer-config", "auth-failed-opaque"), Ends: initiator(func(e *lab.End) { e.Local.ID = "192.0.2.1" })},
		{Name: "initiator claims a mail address", Want: refusedBy(VICIResponder, "responder-no-peer-config", "auth-failed-opaque"), Ends: initiator(func(e *lab.End) { e.Local.ID = "initiator@lab" })},
		{Name: "initiator claims a key id", Want: map[Source]string{VICIInitiator: "auth-failed-opaque", VICIResponder: "responder-no-peer-config", EngineResponder: "id-type-mismatch", Keyed: "auth-failed-opaque", Sealed: "auth-failed-opaque"},
			Ends: initiator(func(e *lab.End) { e.Local.ID = "keyid:initiator.lab" })},
		{Name: "responder claims another identity", Want: refusedBy(VICIResponder, "responder-no-peer-config", "auth-failed-opaque"), Ends: responder(func(e *lab.End) { e.Local.ID = "other.lab" })},
		{Name: "responder wants a certificate, gets a PSK", Want: refusedBy(VICIResponder, "auth-method-mismatch", "auth-failed-opaque"), Ends: responder(func(e *lab.End) { e.Remote.Method = "pubkey" })},
		{Name: "initiator uses EAP, responder wants a PSK", Want: map[Source]string{VICIResponder: "auth-method-mismatch", VICIInitiator: "auth-method-mismatch", Keyed: "auth-method-mismatch", Sealed: "auth-failed-opaque"},
			NoEngine: map[Source]string{EngineInitiator: noEAP},
			Ends: initiator(func(e *lab.End) {
				e.Local.Method = "eap-mschapv2"
				e.Local.Lines = append(e.Local.Lines, "eap_id = carol")
			})},
	}
}

func certificateFaults() []Fault {
	certs := func(change func(a, r *lab.End) error) func(a, r *lab.End) error {
		return func(a, r *lab.End) error {
			if err := lab.UseCertificates(a, r, lab.ECDSA(elliptic.P256()), 1); err != nil {
				return err
			}
			return change(a, r)
		}
	}
	stranger := func(e *lab.End) error {
		root, err := lab.NewRoot("Another Root CA", lab.ECDSA(elliptic.P256()))
		if err != nil {
			return err
		}
		leaf, err := root.NewLeaf(e.Local.ID, lab.ECDSA(elliptic.P256()))
		if err != nil {
			return err
		}
		e.Local.Lines = nil
		return e.Present(leaf)
	}
	other := func(e *lab.End) error {
		root, err := lab.NewRoot("Another Root CA", lab.ECDSA(elliptic.P256()))
		if err != nil {
			return err
		}
		e.Trust(root)
		return nil
	}
	// dated gives one end a certificate of another time.
	dated := func(whose string, leaf func(*lab.Identity, string, lab.KeyKind) (*lab.Identity, error)) func(a, r *lab.End) error {
		return func(a, r *lab.End) error {
			kind := lab.ECDSA(elliptic.P256())
			root, err := lab.NewRoot("Lab Root CA", kind)
			if err != nil {
				return err
			}
			for name, e := range map[string]*lab.End{"a": a, "r": r} {
				of := (*lab.Identity).NewLeaf
				if name == whose {
					of = leaf
				}
				own, err := of(root, e.Local.ID, kind)
				if err != nil {
					return err
				}
				if err := e.Present(own); err != nil {
					return err
				}
				e.Trust(root)
				e.Remote.Method = "pubkey"
			}
			return nil
		}
	}
	login := func(change func(a *lab.End)) func(a, r *lab.End) error {
		return func(a, r *lab.End) error {
			if err := lab.UseEAP(a, r); err != nil {
				return err
			}
			a.Secrets = append([]string{}, a.Secrets...)
			change(a)
			return nil
		}
	}
	badLogin := map[Source]string{VICIInitiator: "mschapv2-bad-password", VICIResponder: "mschapv2-bad-password", Keyed: "mschapv2-bad-password", Sealed: "auth-failed-opaque"}
	return []Fault{
		{Name: "wrong EAP password", Want: badLogin, NoEngine: noEngine(noEAP), Ends: login(func(a *lab.End) { a.Secrets[0] = "eap-carol {\nid = carol\nsecret = \"wrong\"\n}" })},
		{Name: "unknown EAP user", Want: badLogin, NoEngine: noEngine(noEAP), Ends: login(func(a *lab.End) {
			a.Secrets[0] = "eap-dave {\nid = dave\nsecret = \"lab only password\"\n}"
			a.Local.Lines = []string{"eap_id = dave"}
		})},
		{Name: "revocation has to be known and cannot be", Want: refusedBy(VICIResponder, "crl-ocsp-unreachable", "auth-failed-opaque"),
			NoEngine: map[Source]string{EngineResponder: "it asks no CRL and no OCSP responder, and refuses to be told to"},
			Ends:     certs(func(_, r *lab.End) error { r.Remote.Lines = append(r.Remote.Lines, "revocation = strict"); return nil })},
		{Name: "initiator's certificate is over", Want: refusedBy(Sealed, "auth-failed-opaque", "cert-expired"), Ends: dated("a", (*lab.Identity).NewExpiredLeaf)},
		{Name: "responder's certificate is over", Want: refusedBy(Sealed, "idr-mismatch", "cert-expired"), Ends: dated("r", (*lab.Identity).NewExpiredLeaf)},
		{Name: "responder's certificate is of tomorrow", Want: refusedBy(Sealed, "idr-mismatch", "cert-not-yet-valid"), Ends: dated("r", (*lab.Identity).NewEarlyLeaf)},
		{Name: "responder does not trust the initiator's authority", Want: notAskedFor(),
			Ends: certs(func(_, r *lab.End) error { return other(r) })},
		{Name: "initiator's certificate of another authority", Want: notAskedFor(),
			Ends: certs(func(a, _ *lab.End) error { return stranger(a) })},
		{Name: "initiator does not trust the responder's authority", Want: notVouchedFor(),
			Ends: certs(func(a, _ *lab.End) error { return other(a) })},
		{Name: "responder's certificate of another authority", Want: notVouchedFor(),
			Ends: certs(func(_, r *lab.End) error { return stranger(r) })},
	}
}

func childFaults() []Fault {
	ts := func(name, local, remote string) Fault {
		return Fault{Name: name, Want: withKeys("ts-unacceptable"), Hidden: alike, Ends: responder(func(e *lab.End) { e.LocalTS, e.RemoteTS = local, remote })}
	}
	return []Fault{
		ts("responder knows other networks", "172.16.5.0/24", "172.16.6.0/24"),
		ts("responder's local network differs", "172.16.5.0/24", "10.1.0.1/32"),
		ts("responder's remote network differs", "10.2.0.1/32", "172.16.6.0/24"),
		ts("networks the wrong way round", "10.1.0.1/32", "10.2.0.1/32"),
		ts("IPv6 against IPv4", "fd00:2::/64", "fd00:1::/64"),
		ts("one host against another", "10.2.0.9/32", "10.1.0.9/32"),
		ts("a port on one side", "10.2.0.1/32[tcp/80]", "10.9.0.1/32"),
		{Name: "no pool for a virtual address", Want: withKeys("internal-address-failure"), Hidden: alike,
			NoEngine: noEngine(noVirtual),
			Ends:     initiator(func(e *lab.End) { e.LocalTS = ""; e.Conn = append(e.Conn, "vips = 0.0.0.0") })},
		{Name: "responder insists on a virtual address", Want: withKeys("cp-required-or-missing"), Hidden: alike,
			NoEngine: map[Source]string{EngineResponder: noVirtual},
			Ends: responder(func(e *lab.End) {
				e.RemoteTS = ""
				e.Conn = append(e.Conn, "pools = inner")
				e.Pools = append(e.Pools, "inner {\naddrs = 10.9.0.0/24\n}")
			})},
	}
}

// failed is a command that did not work, with what it said.
type failed struct {
	said string
	err  error
}

// Error gives both.
func (f *failed) Error() string { return f.err.Error() + ": " + f.said }

// Unwrap gives the cause.
func (f *failed) Unwrap() error { return f.err }
