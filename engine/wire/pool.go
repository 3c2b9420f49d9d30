package wire

// pool hands out values and takes them all back at once, so that a decoder
// that reads millions of messages does not allocate for each. A value keeps
// what it held before: the taker overwrites every field, and may reuse the
// slices.
type pool[T any] []T

func (p *pool[T]) take() *T {
	if n := len(*p); n < cap(*p) {
		*p = (*p)[:n+1]
	} else {
		var zero T
		*p = append(*p, zero)
	}
	return &(*p)[len(*p)-1]
}

// pools holds the bodies that captures are full of; rarer ones are allocated.
type pools struct {
	sa        pool[SA]
	ke        pool[KE]
	nonce     pool[Nonce]
	notify    pool[Notify]
	vendor    pool[VendorID]
	encrypted pool[Encrypted]
	fragment  pool[Fragment]
}

func (p *pools) reset() {
	p.sa, p.ke, p.nonce, p.notify = p.sa[:0], p.ke[:0], p.nonce[:0], p.notify[:0]
	p.vendor, p.encrypted, p.fragment = p.vendor[:0], p.encrypted[:0], p.fragment[:0]
}
