package enginetest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"sync"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func rsaKey() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }

// rsaSides are made once: keys of RSA take their time.
var rsaSides struct {
	once       sync.Once
	host, peer Certified
}

// certifiedPeer is a Peer that proves itself with an RSA key by the method of
// RFC 7296 alone, as one that says nothing of hashes does.
func certifiedPeer(t *testing.T) (p *Peer, host, peer Certified) {
	t.Helper()
	rsaSides.once.Do(func() { rsaSides.host, rsaSides.peer = NewCertified(t, rsaKey) })
	host, peer = rsaSides.host, rsaSides.peer
	if host.Certificates == nil || peer.Certificates == nil {
		t.Fatal("no certificates")
	}
	own := *host.Certificates
	own.Rules.SHA1 = true
	return NewPeer(t, func(a, _ *ike.Connection, _, _ *ike.Settings) { a.Credentials = &own }), host, peer
}

// signed gives the octets that one side of an SA signs.
func signed(s *PeerSA, byInitiator bool, id *wire.ID) []byte {
	if byInitiator {
		return s.PRF.SignedOctets(s.Init[0], s.Nr, s.Keys.PI, wire.AppendBody(nil, id))
	}
	return s.PRF.SignedOctets(s.Init[1], s.Ni, s.Keys.PR, wire.AppendBody(nil, id))
}

// presents gives what the Peer says of itself: identity, certificates, proof.
func (p *Peer) presents(s *PeerSA, c Certified, id wire.PayloadType, request bool) []wire.Payload {
	p.tb.Helper()
	sum := sha1.Sum(signed(s, s.Initiator, &p.ID))
	sig, err := c.Signer.Sign(rand.Reader, sum[:], crypto.SHA1)
	if err != nil {
		p.tb.Fatalf("signature: %v", err)
	}
	ps := []wire.Payload{Body(id, &p.ID)}
	for _, x := range []*x509.Certificate{c.Leaf, c.Intermediate} {
		ps = append(ps, Body(wire.PayloadCert, &wire.Cert{Encoding: wire.CertX509Signature, Data: x.Raw}))
	}
	if request {
		ps = append(ps, demands(c))
	}
	return append(ps, Body(wire.PayloadAuth, &wire.Auth{Method: wire.AuthRSA, Data: sig}))
}

// demands is a certificate request for the authority of a side.
func demands(c Certified) wire.Payload {
	hash := sha1.Sum(c.Root.RawSubjectPublicKeyInfo)
	return Body(wire.PayloadCertReq, &wire.CertReq{Encoding: wire.CertX509Signature, Authority: hash[:]})
}

// presented checks what the Host says of itself.
func (p *Peer) presented(s *PeerSA, h *Heard, c Certified, id wire.PayloadType) {
	p.tb.Helper()
	var sent [][]byte
	for i := range h.Inner {
		if x, ok := h.Inner[i].Body.(*wire.Cert); ok && x.Encoding == wire.CertX509Signature {
			sent = append(sent, x.Data)
		}
	}
	if len(sent) != 2 || !bytes.Equal(sent[0], c.Leaf.Raw) || !bytes.Equal(sent[1], c.Intermediate.Raw) {
		p.tb.Errorf("the host sends %d certificates, want its own and the authority above", len(sent))
	}
	proof := PayloadOf[*wire.Auth](p.tb, h.Inner, wire.PayloadAuth)
	sum := sha1.Sum(signed(s, !s.Initiator, PayloadOf[*wire.ID](p.tb, h.Inner, id)))
	if proof.Method != wire.AuthRSA || rsa.VerifyPKCS1v15(c.Signer.Public().(*rsa.PublicKey), crypto.SHA1, sum[:], proof.Data) != nil {
		p.tb.Errorf("the host proves itself by method %s wrongly", proof.Method)
	}
}

// asksFor checks the Host's certificate request.
func asksFor(t *testing.T, h *Heard, c Certified) {
	t.Helper()
	hash := sha1.Sum(c.Root.RawSubjectPublicKeyInfo)
	if x := PayloadOf[*wire.CertReq](t, h.Inner, wire.PayloadCertReq); x.Encoding != wire.CertX509Signature || !bytes.Equal(x.Authority, hash[:]) {
		t.Errorf("the certificate request is for %s %x, want %x", x.Encoding, x.Authority, hash)
	}
}

// certificatesOfTheInitiator has a Host with a certificate initiate; a forged
// proof of the Peer's is not taken.
func certificatesOfTheInitiator(t *testing.T) {
	for _, forged := range []bool{false, true} {
		p, host, peer := certifiedPeer(t)
		s, m := p.InitResponse(p.Begin())
		m.Payloads = append(m.Payloads, demands(host))
		h := p.Responded(s, m)
		p.presented(s, h, host, wire.PayloadIDi)
		asksFor(t, h, peer)
		ps := append(p.presents(s, peer, wire.PayloadIDr, false), p.ChildPayloads(PeerESPSPI, false, "aes256gcm16-noesn")...)
		if forged {
			wire.First(ps, wire.PayloadAuth).Body.(*wire.Auth).Data[20] ^= 1
		}
		p.Answer(s, h, ps...)
		if got := len(p.Host.Established()); (got == 0) != forged {
			t.Errorf("forged %v: %d IKE SAs stand: %v", forged, got, p.Host.Errs)
		}
	}
}

// certificatesOfTheResponder has the Peer initiate.
func certificatesOfTheResponder(t *testing.T) {
	for _, forged := range []bool{false, true} {
		p, host, peer := certifiedPeer(t)
		s, m := p.InitRequest()
		s.Init[0] = m.Append(nil)
		p.Initiated(s, m)
		answer, err := wire.Parse(s.Init[1])
		if err != nil {
			t.Fatal(err)
		}
		asksFor(t, &Heard{Inner: answer.Payloads}, peer)
		ps := append(p.presents(s, peer, wire.PayloadIDi, true), p.ChildPayloads(PeerESPSPI, true, "aes256gcm16-noesn")...)
		if forged {
			wire.First(ps, wire.PayloadAuth).Body.(*wire.Auth).Data[20] ^= 1
		}
		h := p.Ask(s, wire.ExchangeIKEAuth, ps...)
		if forged {
			if h.Error() != wire.NotifyAuthenticationFailed || len(p.Host.Established()) != 0 {
				t.Errorf("a forged proof is answered with %s, %d IKE SAs stand", h.Error(), len(p.Host.Established()))
			}
			continue
		}
		p.presented(s, h, host, wire.PayloadIDr)
		p.SA()
	}
}

// binaryKey shares a key of octets that are no text, such as people write in
// hexadecimal digits.
func binaryKey(up func(*Peer) *PeerSA) func(*testing.T) {
	return func(t *testing.T) {
		key := suite.NewSecret([]byte{0xab, 0xad, 0xca, 0xfe, 0x00, 0x0a, 0x0d, 0x20, 0x80, 0xff, 0x22, 0x27, 0x00, 0xca, 0xfe, 0x00})
		p := NewPeer(t, func(a, _ *ike.Connection, _, _ *ike.Settings) { a.Credentials = auth.SharedKeys{{Key: key}} })
		p.Key = key
		up(p)
	}
}
