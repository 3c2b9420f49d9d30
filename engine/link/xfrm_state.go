package link

import (
	"fmt"
	"net/netip"

	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// xfrmState is one ESP SA as the kernel keeps it: one direction of a CHILD SA.
type xfrmState struct {
	spi       wire.ESPSPI
	src, dst  netip.Addr
	reqid     uint32 // what policies know it by
	transport bool
	esn       bool
	window    int // of the replay check, in packets
	// Either aead is named, or crypt and perhaps auth.
	aead, crypt, auth xfrmAlgorithm
	encap             bool // in UDP, from srcPort to dstPort
	srcPort, dstPort  uint16
	limits            ike.Limits
}

// xfrmAlgorithm is an algorithm by the kernel's name, with its key; a salt or a
// nonce is the key's end, as in KEYMAT. icv is the length of what it puts behind
// a packet, in bits.
type xfrmAlgorithm struct {
	name string
	key  suite.Secret
	icv  int
}

// xfrmID is what the kernel finds an SA by.
type xfrmID struct {
	dst netip.Addr
	spi wire.ESPSPI
}

func (s *xfrmState) id() xfrmID { return xfrmID{s.dst, s.spi} }

// xfrmAEADs are the AEADs that a kernel has for ESP.
var xfrmAEADs = map[uint16]xfrmAlgorithm{
	wire.EncrAESCCM8:          {name: "rfc4309(ccm(aes))", icv: 64},
	wire.EncrAESCCM12:         {name: "rfc4309(ccm(aes))", icv: 96},
	wire.EncrAESCCM16:         {name: "rfc4309(ccm(aes))", icv: 128},
	wire.EncrAESGCM8:          {name: "rfc4106(gcm(aes))", icv: 64},
	wire.EncrAESGCM12:         {name: "rfc4106(gcm(aes))", icv: 96},
	wire.EncrAESGCM16:         {name: "rfc4106(gcm(aes))", icv: 128},
	wire.EncrNullAuthAESGMAC:  {name: "rfc4543(gcm(aes))", icv: 128},
	wire.EncrChaCha20Poly1305: {name: "rfc7539esp(chacha20,poly1305)", icv: 128},
}

// xfrmCiphers are the ciphers that go with an integrity algorithm.
var xfrmCiphers = map[uint16]string{
	wire.EncrNull:   "ecb(cipher_null)",
	wire.EncrDES:    "cbc(des)",
	wire.Encr3DES:   "cbc(des3_ede)",
	wire.EncrAESCBC: "cbc(aes)",
	wire.EncrAESCTR: "rfc3686(ctr(aes))",
}

// xfrmIntegrity are the integrity algorithms.
var xfrmIntegrity = map[uint16]xfrmAlgorithm{
	wire.IntegMD5_96:     {name: "hmac(md5)", icv: 96},
	wire.IntegMD5_128:    {name: "hmac(md5)", icv: 128},
	wire.IntegSHA1_96:    {name: "hmac(sha1)", icv: 96},
	wire.IntegSHA1_160:   {name: "hmac(sha1)", icv: 160},
	wire.IntegAESXCBC96:  {name: "xcbc(aes)", icv: 96},
	wire.IntegAESCMAC96:  {name: "cmac(aes)", icv: 96},
	wire.IntegSHA256128:  {name: "hmac(sha256)", icv: 128},
	wire.IntegSHA384192:  {name: "hmac(sha384)", icv: 192},
	wire.IntegSHA512256:  {name: "hmac(sha512)", icv: 256},
	suite.IntegSHA256_96: {name: "hmac(sha256)", icv: 96},
}

// xfrmStates gives the two SAs of a CHILD SA. Window is the size of the replay
// window in packets.
func xfrmStates(u *ike.Update, reqid uint32, window int) (in, out xfrmState, err error) {
	limits := limitsOf(u)
	common := xfrmState{reqid: reqid, transport: u.Transport, esn: u.Transforms.ESN, window: window, limits: limits}
	in, out = common, common
	in.spi, out.spi = u.SPIs.In, u.SPIs.Out
	if err := in.algorithms(&u.Transforms, u.In); err != nil {
		return in, out, err
	}
	if err := out.algorithms(&u.Transforms, u.Out); err != nil {
		return in, out, err
	}
	in.place(u.Remote, u.Local, u.Encap)
	out.place(u.Local, u.Remote, u.Encap)
	return in, out, nil
}

// place sets where the packets of an SA go.
func (s *xfrmState) place(from, to netip.AddrPort, encap bool) {
	s.src, s.dst = from.Addr().Unmap().WithZone(""), to.Addr().Unmap().WithZone("")
	s.encap, s.srcPort, s.dstPort = encap, 0, 0
	if encap {
		s.srcPort, s.dstPort = from.Port(), to.Port()
	}
}

// algorithms sets the algorithms by their numbers. The lengths of the keys were
// settled when they were derived; that they fit is checked all the same.
func (s *xfrmState) algorithms(t *ike.ESPTransforms, k ike.ESPKeys) error {
	encr, integ, err := suite.KeyLengths(t.EncrID, t.EncrBits, t.IntegID)
	if err != nil {
		return err
	}
	if k.Encr.Len() != encr || k.Integ.Len() != integ {
		return fmt.Errorf("keys of %d and %d octets, where %d and %d are needed", k.Encr.Len(), k.Integ.Len(), encr, integ)
	}
	if a, ok := xfrmAEADs[t.EncrID]; ok {
		s.aead = a
		s.aead.key = k.Encr
		return nil
	}
	cipher, ok := xfrmCiphers[t.EncrID]
	if !ok {
		return fmt.Errorf("the kernel's ESP has no %s; '--data tun' does it in user space", wire.TransformName(wire.TransformEncr, t.EncrID))
	}
	s.crypt = xfrmAlgorithm{name: cipher, key: k.Encr}
	if t.IntegID == wire.IntegNone {
		return fmt.Errorf("%s without integrity, which the kernel refuses (RFC 4303 3.2)", wire.TransformName(wire.TransformEncr, t.EncrID))
	}
	if s.auth, ok = xfrmIntegrity[t.IntegID]; !ok {
		return fmt.Errorf("the kernel's ESP has no %s; '--data tun' does it in user space", wire.TransformName(wire.TransformInteg, t.IntegID))
	}
	s.auth.key = k.Integ
	return nil
}

// words name the algorithms of an SA.
func (s *xfrmState) words() string {
	switch {
	case s.aead.name != "":
		return s.aead.name
	case s.auth.name != "":
		return s.crypt.name + " with " + s.auth.name
	}
	return s.crypt.name
}
