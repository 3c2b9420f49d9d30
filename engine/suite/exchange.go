package suite

import (
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/rand"
	"fmt"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// KeyExchange is the private half of one key exchange (RFC 7296 2.14, RFC
// 9370). It serves one exchange: neither keep it for a second nor use it from
// several goroutines at once.
type KeyExchange interface {
	// Method is the key exchange method.
	Method() wire.KEMethod
	// Public is the data of the KE payload to send.
	Public() []byte
	// Shared gives the shared secret, from the data of the peer's KE payload.
	// A value of the wrong length, or one that RFC 6989 tells to refuse, is a
	// *KeyError.
	Shared(peer []byte) (Secret, error)
}

// curve is a method whose arithmetic is crypto/ecdh's.
type curve struct {
	curve ecdh.Curve
	// Points go without the octet 4 that marks an uncompressed one (RFC 5903 7).
	point bool
	size  int // of the KE payload's data, in octets
}

var curves = map[wire.KEMethod]curve{
	wire.KEECP256:     {ecdh.P256(), true, 64},
	wire.KEECP384:     {ecdh.P384(), true, 96},
	wire.KEECP521:     {ecdh.P521(), true, 132},
	wire.KECurve25519: {ecdh.X25519(), false, 32},
}

// CanExchange says whether a key exchange method is supported.
func CanExchange(method wire.KEMethod) bool {
	_, prime := safePrimes[method]
	_, sub := subgroups[method]
	_, ec := curves[method]
	return prime || sub || ec || method == wire.KEMLKEM768 || method == wire.KEMLKEM1024
}

// NewKeyExchange makes an ephemeral key for the side that sends its KE payload
// first. The randomness is crypto/rand's.
func NewKeyExchange(method wire.KEMethod) (KeyExchange, error) {
	if c, ok := curves[method]; ok {
		k, err := c.curve.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("making a key for %s: %w", method, err)
		}
		return &curveKey{method, c, k}, nil
	}
	if g, ok := modpOf(method); ok {
		return newModp(method, g), nil
	}
	switch method {
	case wire.KEMLKEM768:
		k, err := mlkem.GenerateKey768()
		if err != nil {
			return nil, fmt.Errorf("making a key for %s: %w", method, err)
		}
		return &kemKey{method, k.EncapsulationKey().Bytes(), k.Decapsulate}, nil
	case wire.KEMLKEM1024:
		k, err := mlkem.GenerateKey1024()
		if err != nil {
			return nil, fmt.Errorf("making a key for %s: %w", method, err)
		}
		return &kemKey{method, k.EncapsulationKey().Bytes(), k.Decapsulate}, nil
	}
	return nil, &AlgorithmError{wire.TransformKE, uint16(method), 0, "not supported"}
}

// Respond makes the answer to a KE payload: the data of the KE payload to send
// back, and the shared secret. A bad peer value is a *KeyError.
func Respond(method wire.KEMethod, peer []byte) (public []byte, shared Secret, err error) {
	switch method {
	case wire.KEMLKEM768:
		k, err := mlkem.NewEncapsulationKey768(peer)
		if err != nil {
			return nil, Secret{}, kemError(method, err)
		}
		s, c := k.Encapsulate()
		return c, ownSecret(s), nil
	case wire.KEMLKEM1024:
		k, err := mlkem.NewEncapsulationKey1024(peer)
		if err != nil {
			return nil, Secret{}, kemError(method, err)
		}
		s, c := k.Encapsulate()
		return c, ownSecret(s), nil
	}
	k, err := NewKeyExchange(method)
	if err != nil {
		return nil, Secret{}, err
	}
	shared, err = k.Shared(peer)
	if err != nil {
		return nil, Secret{}, err
	}
	return k.Public(), shared, nil
}

// RespondFirst is Respond for one who wants to send the answer before the effort
// of the shared secret, which the function gives: it is to be called once, and
// fails for no value that RespondFirst has let through. Where a value can be
// judged by nothing less than that effort, it is made at once. The key is one of
// spares, which may be nil.
func RespondFirst(spares *Spares, method wire.KEMethod, peer []byte) (public []byte, shared func() (Secret, error), err error) {
	if _, ok := curves[method]; !ok {
		public, secret, err := Respond(method, peer)
		return public, func() (Secret, error) { return secret, nil }, err
	}
	k, err := spares.Take(method)
	if err != nil {
		return nil, nil, err
	}
	point, err := k.(*curveKey).point(peer)
	if err != nil {
		return nil, nil, err
	}
	return k.Public(), func() (Secret, error) { return k.(*curveKey).with(point) }, nil
}

type curveKey struct {
	method wire.KEMethod
	curve  curve
	key    *ecdh.PrivateKey
}

func (k *curveKey) Method() wire.KEMethod { return k.method }

func (k *curveKey) Public() []byte {
	b := k.key.PublicKey().Bytes()
	if k.curve.point {
		b = b[1:]
	}
	return b
}

// Shared gives the x coordinate (RFC 5903 7) or X25519's result (RFC 8031 2).
// crypto/ecdh refuses points off the curve and the X25519 result of all zeros,
// as RFC 6989 2.3 and RFC 8031 2 want.
func (k *curveKey) Shared(peer []byte) (Secret, error) {
	p, err := k.point(peer)
	if err != nil {
		return Secret{}, err
	}
	return k.with(p)
}

func (k *curveKey) what() string { return "public value for " + k.method.String() }

// point judges the peer's value. Of those that it lets through each leads to a
// shared secret.
func (k *curveKey) point(peer []byte) (*ecdh.PublicKey, error) {
	if len(peer) != k.curve.size {
		return nil, &KeyError{k.what(), fmt.Sprintf("%d octets where %d are needed", len(peer), k.curve.size)}
	}
	if k.curve.point {
		peer = append([]byte{4}, peer...)
	} else if lowOrder(peer) {
		return nil, k.low()
	}
	p, err := k.curve.curve.NewPublicKey(peer)
	if err != nil {
		return nil, &KeyError{k.what(), "it is not a point of the curve (RFC 6989 2.3)"}
	}
	return p, nil
}

func (k *curveKey) low() error {
	return &KeyError{k.what(), "it is a point of low order (RFC 8031 2)"}
}

// with gives the shared secret.
func (k *curveKey) with(p *ecdh.PublicKey) (Secret, error) {
	s, err := k.key.ECDH(p)
	if err != nil {
		return Secret{}, k.low()
	}
	return ownSecret(s), nil
}

// kemKey is the initiator's half of an ML-KEM exchange (FIPS 203).
type kemKey struct {
	method      wire.KEMethod
	public      []byte
	decapsulate func(ciphertext []byte) ([]byte, error)
}

func (k *kemKey) Method() wire.KEMethod { return k.method }
func (k *kemKey) Public() []byte        { return k.public }

func (k *kemKey) Shared(peer []byte) (Secret, error) {
	s, err := k.decapsulate(peer)
	if err != nil {
		return Secret{}, kemError(k.method, err)
	}
	return ownSecret(s), nil
}

func kemError(method wire.KEMethod, err error) error {
	return &KeyError{"public value for " + method.String(), err.Error()}
}
