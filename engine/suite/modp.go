package suite

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"sync"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// modp is a group of integers modulo a prime. Exponentiation is math/big's,
// whose time depends on its operands; as every exponent serves one exchange,
// an observer cannot average over many.
type modp struct {
	size     int      // of the prime, in octets
	p, g     *big.Int // prime and generator
	q        *big.Int // order of the subgroup, nil for a safe prime
	exponent int      // length of a private exponent, in bits
}

// safePrimes are the groups of RFC 2409 6.2 and RFC 3526: for n bits
// p = 2^n - 2^(n-64) - 1 + 2^64 * (floor(2^(n-130) * pi) + c), with generator
// 2. Exponents have at least twice the strength that RFC 3526 8 estimates.
var safePrimes = map[wire.KEMethod]struct {
	bits     uint
	c        int64
	exponent int
}{
	wire.KEModp1024: {1024, 129093, 256},
	wire.KEModp1536: {1536, 741804, 256},
	wire.KEModp2048: {2048, 124476, 256},
	wire.KEModp3072: {3072, 1690314, 288},
	wire.KEModp4096: {4096, 240904, 320},
	wire.KEModp6144: {6144, 929484, 384},
	wire.KEModp8192: {8192, 4743158, 448},
}

var (
	modpLock   sync.Mutex
	modpGroups = map[wire.KEMethod]*modp{}
)

// modpOf gives a group, made on first use.
func modpOf(method wire.KEMethod) (*modp, bool) {
	modpLock.Lock()
	defer modpLock.Unlock()
	if g := modpGroups[method]; g != nil {
		return g, true
	}
	var g *modp
	if s, ok := safePrimes[method]; ok {
		one := big.NewInt(1)
		p := new(big.Int).Lsh(one, s.bits)
		p.Sub(p, new(big.Int).Lsh(one, s.bits-64))
		p.Sub(p, one)
		middle := piShifted(s.bits - 130)
		middle.Add(middle, big.NewInt(s.c))
		p.Add(p, middle.Lsh(middle, 64))
		g = &modp{size: int(s.bits / 8), p: p, g: big.NewInt(2), exponent: s.exponent}
	} else if s, ok := subgroups[method]; ok {
		g = &modp{p: hexInt(s.p), g: hexInt(s.g), q: hexInt(s.q)}
		g.size = (g.p.BitLen() + 7) / 8
		g.exponent = g.q.BitLen() - 1
	} else {
		return nil, false
	}
	modpGroups[method] = g
	return g, true
}

// piShifted gives floor(2^bits * pi), by Machin's formula with room for its
// rounding errors.
func piShifted(bits uint) *big.Int {
	const guard = 64
	one := new(big.Int).Lsh(big.NewInt(1), bits+guard)
	pi := new(big.Int).Mul(big.NewInt(16), arccot(5, one))
	pi.Sub(pi, new(big.Int).Mul(big.NewInt(4), arccot(239, one)))
	return pi.Rsh(pi, guard)
}

// arccot gives one times the arcus cotangent of x.
func arccot(x int64, one *big.Int) *big.Int {
	square := big.NewInt(x * x)
	power := new(big.Int).Div(one, big.NewInt(x))
	sum := new(big.Int)
	term := new(big.Int)
	for n := int64(1); power.Sign() > 0; n += 2 {
		term.Div(power, big.NewInt(n))
		if n%4 == 1 {
			sum.Add(sum, term)
		} else {
			sum.Sub(sum, term)
		}
		power.Div(power, square)
	}
	return sum
}

// modpKey is one side's part of an exchange in a modp group.
type modpKey struct {
	method wire.KEMethod
	group  *modp
	x      *big.Int
	public []byte
}

func newModp(method wire.KEMethod, g *modp) *modpKey {
	// An exponent with its highest bit set: the length alone tells nothing.
	b := make([]byte, (g.exponent+7)/8)
	_, _ = rand.Read(b) // never fails since Go 1.24
	x := new(big.Int).SetBytes(b)
	x.Rsh(x, uint(len(b)*8-g.exponent))
	x.SetBit(x, g.exponent-1, 1)
	return modpWith(method, g, x)
}

func modpWith(method wire.KEMethod, g *modp, x *big.Int) *modpKey {
	y := new(big.Int).Exp(g.g, x, g.p)
	return &modpKey{method, g, x, y.FillBytes(make([]byte, g.size))}
}

func (k *modpKey) Method() wire.KEMethod { return k.method }
func (k *modpKey) Public() []byte        { return k.public }

// Shared checks the peer's value as RFC 6989 2.1 and 2.2 have it: of full
// length, greater than 1 and less than p-1, and for a prime with small
// subgroups an element of the right one.
func (k *modpKey) Shared(peer []byte) (Secret, error) {
	g := k.group
	what := "public value for " + k.method.String()
	if len(peer) != g.size {
		return Secret{}, &KeyError{what, fmt.Sprintf("%d octets where %d are needed (RFC 7296 3.4)", len(peer), g.size)}
	}
	y := new(big.Int).SetBytes(peer)
	one := big.NewInt(1)
	if y.Cmp(one) <= 0 || y.Cmp(new(big.Int).Sub(g.p, one)) >= 0 {
		return Secret{}, &KeyError{what, "it must be greater than 1 and less than p-1 (RFC 6989 2.1)"}
	}
	if g.q != nil && new(big.Int).Exp(y, g.q, g.p).Cmp(one) != 0 {
		return Secret{}, &KeyError{what, "it is not in the group's subgroup of prime order (RFC 6989 2.2)"}
	}
	z := new(big.Int).Exp(y, k.x, g.p)
	return ownSecret(z.FillBytes(make([]byte, g.size))), nil
}
