package faults

import (
	"context"
	"crypto/elliptic"
	"strings"

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

// withKeys is a fault that shows no more than a refusal without keys.
func withKeys(id string) map[Source]string {
	m := everywhere(id)
	delete(m, Sealed)
	return m
}

func silentResponder(id string) map[Source]string {
	m := everywhere(id)
	delete(m, VICIResponder)
	return m
}

const (
	alike   = "without keys every refusal of a child looks alike"
	unheard = "nothing of it reaches the responder"
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
	return append(l, pathFaults()...)
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
		ike("IKE key lengths differ", "aes128-sha256-ecp256", "aes256-sha256-ecp256", "no-proposal-ike"),
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
			Ends: responder(func(e *lab.End) { e.LocalAddrs = "203.0.113.9" })},
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
		{Name: "initiator claims a key id", Want: refusedBy(VICIResponder, "responder-no-peer-config", "auth-failed-opaque"), Ends: initiator(func(e *lab.End) { e.Local.ID = "keyid:initiator.lab" })},
		{Name: "responder claims another identity", Want: refusedBy(VICIResponder, "responder-no-peer-config", "auth-failed-opaque"), Ends: responder(func(e *lab.End) { e.Local.ID = "other.lab" })},
		{Name: "responder wants a certificate, gets a PSK", Want: refusedBy(VICIResponder, "auth-method-mismatch", "auth-failed-opaque"), Ends: responder(func(e *lab.End) { e.Remote.Method = "pubkey" })},
		{Name: "initiator uses EAP, responder wants a PSK", Want: map[Source]string{VICIResponder: "auth-method-mismatch", VICIInitiator: "auth-method-mismatch", Keyed: "auth-method-mismatch", Sealed: "auth-failed-opaque"},
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
		{Name: "wrong EAP password", Want: badLogin, Ends: login(func(a *lab.End) { a.Secrets[0] = "eap-carol {\nid = carol\nsecret = \"wrong\"\n}" })},
		{Name: "unknown EAP user", Want: badLogin, Ends: login(func(a *lab.End) {
			a.Secrets[0] = "eap-dave {\nid = dave\nsecret = \"lab only password\"\n}"
			a.Local.Lines = []string{"eap_id = dave"}
		})},
		{Name: "revocation has to be known and cannot be", Want: refusedBy(VICIResponder, "crl-ocsp-unreachable", "auth-failed-opaque"),
			Ends: certs(func(_, r *lab.End) error { r.Remote.Lines = append(r.Remote.Lines, "revocation = strict"); return nil })},
		{Name: "responder does not trust the initiator's authority", Want: refusedBy(VICIResponder, "cert-untrusted-issuer", "auth-failed-opaque"),
			Ends: certs(func(_, r *lab.End) error { return other(r) })},
		{Name: "initiator's certificate of another authority", Want: refusedBy(VICIResponder, "cert-untrusted-issuer", "auth-failed-opaque"),
			Ends: certs(func(a, _ *lab.End) error { return stranger(a) })},
		{Name: "initiator does not trust the responder's authority", Want: refusedBy(VICIInitiator, "cert-untrusted-issuer", "idr-mismatch"),
			Ends: certs(func(a, _ *lab.End) error { return other(a) })},
		{Name: "responder's certificate of another authority", Want: refusedBy(VICIInitiator, "cert-untrusted-issuer", "idr-mismatch"),
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
			Ends: initiator(func(e *lab.End) { e.LocalTS = ""; e.Conn = append(e.Conn, "vips = 0.0.0.0") })},
		{Name: "responder insists on a virtual address", Want: withKeys("cp-required-or-missing"), Hidden: alike,
			Ends: responder(func(e *lab.End) {
				e.RemoteTS = ""
				e.Conn = append(e.Conn, "pools = inner")
				e.Pools = append(e.Pools, "inner {\naddrs = 10.9.0.0/24\n}")
			})},
	}
}

func pathFaults() []Fault {
	silence := func(name, rules, id string) Fault {
		return Fault{Name: name, Want: silentResponder(id), Hidden: unheard, Rules: rules}
	}
	return []Fault{
		silence("firewall drops UDP 500", "udp dport 500 drop", "no-response-to-sa-init"),
		silence("firewall drops everything of the peer", "ip saddr 192.0.2.1 drop", "no-response-to-sa-init"),
		silence("firewall drops UDP 4500", "udp dport 4500 drop", "udp4500-blocked"),
		{Name: "large IKE messages get lost", Want: silentResponder("ike-fragment-incomplete"), Hidden: unheard, Rules: "udp length > 1000 drop",
			Ends: func(a, r *lab.End) error { return lab.UseCertificates(a, r, lab.RSA(4096), 2) }},
		{Name: "nobody at the peer's address", Want: map[Source]string{VICIInitiator: "no-response-to-sa-init"}, Hidden: "no packet leaves: nobody answers for that address", Ends: initiator(func(e *lab.End) { e.RemoteAddrs = "192.0.2.99" })},
		{Name: "the peer's name does not resolve", Want: map[Source]string{VICIInitiator: "peer-dns-failed"}, Hidden: "nothing is sent", Ends: initiator(func(e *lab.End) { e.RemoteAddrs = "no-such-host.invalid" })},
	}
}

// HealthyVariants are tunnels in which nothing is wrong.
func HealthyVariants() []Fault {
	ping := func(ctx context.Context, b *lab.Bench) error {
		if _, err := b.Initiate(ctx); err != nil {
			return err
		}
		return b.PingThrough(ctx, 2)
	}
	again := func(args ...string) func(ctx context.Context, b *lab.Bench) error {
		return func(ctx context.Context, b *lab.Bench) error {
			if err := ping(ctx, b); err != nil {
				return err
			}
			if out, err := b.A.Swanctl(ctx, args...); err != nil {
				return &failed{strings.TrimSpace(out), err}
			}
			return b.PingThrough(ctx, 2)
		}
	}
	suite := func(ike, esp string) func(a, r *lab.End) error {
		return both(func(e *lab.End) { e.Proposals, e.ESP = ike, esp })
	}
	certs := func(kind lab.KeyKind, depth int) func(a, r *lab.End) error {
		return func(a, r *lab.End) error { return lab.UseCertificates(a, r, kind, depth) }
	}
	return []Fault{
		{Name: "plain tunnel", Act: ping},
		{Name: "AES-CBC with SHA2-256", Act: ping, Ends: suite("aes256-sha256-modp2048", "aes256-sha256")},
		{Name: "ChaCha20", Act: ping, Ends: suite("chacha20poly1305-prfsha256-curve25519", "chacha20poly1305")},
		{Name: "SHA2-512 and ECP 521", Act: ping, Ends: suite("aes256-sha512-ecp521", "aes256-sha512")},
		{Name: "AES-128-GCM", Act: ping, Ends: suite("aes128gcm16-prfsha256-ecp256", "aes128gcm16")},
		{Name: "AES-192-CBC with SHA2-384", Act: ping, Ends: suite("aes192-sha384-ecp384", "aes192-sha384")},
		{Name: "INVALID_KE once", Act: ping, Ends: func(a, r *lab.End) error {
			a.Proposals, r.Proposals = "aes256gcm16-prfsha256-ecp256-curve25519", "aes256gcm16-prfsha256-curve25519"
			return nil
		}},
		{Name: "several proposals, the last fits", Act: ping, Ends: initiator(func(e *lab.End) {
			e.Proposals = "aes256-sha512-modp4096,aes128-sha256-modp3072,aes256gcm16-prfsha256-ecp256"
		})},
		{Name: "RSA certificates", Act: ping, Ends: certs(lab.RSA(2048), 1)},
		{Name: "ECDSA certificates", Act: ping, Ends: certs(lab.ECDSA(elliptic.P256()), 1)},
		{Name: "ECDSA chain", Act: ping, Ends: certs(lab.ECDSA(elliptic.P384()), 2)},
		{Name: "child rekeyed", Act: again("--rekey", "--child", "net")},
		{Name: "IKE SA rekeyed", Act: again("--rekey", "--ike", "gw")},
		{Name: "taken down in order", Act: func(ctx context.Context, b *lab.Bench) error {
			if err := ping(ctx, b); err != nil {
				return err
			}
			_, err := b.A.Swanctl(ctx, "--terminate", "--ike", "gw")
			return err
		}},
		{Name: "taken down by the responder", Act: func(ctx context.Context, b *lab.Bench) error {
			if err := ping(ctx, b); err != nil {
				return err
			}
			_, err := b.B.Swanctl(ctx, "--terminate", "--ike", "gw")
			return err
		}},
		{Name: "MOBIKE off", Act: ping, Ends: both(func(e *lab.End) { e.Conn = append(e.Conn, "mobike = no") })},
		{Name: "forced UDP encapsulation", Act: ping, Ends: both(func(e *lab.End) { e.Conn = append(e.Conn, "encap = yes") })},
		{Name: "liveness checks", Act: ping, Ends: both(func(e *lab.End) { e.Conn = append(e.Conn, "dpd_delay = 1s") })},
		{Name: "wider networks at the responder", Act: ping, Ends: responder(func(e *lab.End) { e.LocalTS, e.RemoteTS = "10.2.0.0/16", "10.1.0.0/16" })},
		{Name: "idle tunnel", Act: func(ctx context.Context, b *lab.Bench) error { _, err := b.Initiate(ctx); return err }},
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
