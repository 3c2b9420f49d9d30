package faults

import (
	"context"
	"time"

	"github.com/cloudvlan/cvlanctl/lab"
)

// Roads in words that the tables use.
var (
	esps = func(n int) func() func(*datagram) bool {
		return func() func(*datagram) bool { return everyNth(n, isESP) }
	}
	requests = func() func(*datagram) bool {
		return func(d *datagram) bool { return d.exchange() == exchangeAuth && d.fromA }
	}
)

// roadFaults are those of a path that mistreats what it carries.
func roadFaults() []Fault {
	garbled := oneWay("udp4500-blocked", "malformed-or-garbled-message")
	bent := everywhere("esp-auth-failures")
	delete(bent, Sealed)
	return []Fault{
		{Name: "the path loses nearly everything", Want: silent("no-response-to-sa-init"), Hidden: unheard, Road: losing(func() func(*datagram) bool {
			through := everyNth(10, isAnything)
			return func(d *datagram) bool { return !through(d) }
		})},
		{Name: "the path delays some ESP packets beyond the replay window", Want: everywhere("replay-drops"), Road: overtaken(150, esps(20)), Act: steadyPings},
		{Name: "the path damages every fourth ESP packet", Want: bent, Hidden: "without keys nobody knows what a packet was like", Road: bending(esps(4)), Act: steadyPings},
		{Name: "the path damages IKE_AUTH", Want: garbled, Road: bending(requests)},
	}
}

// roadVariants are healthy tunnels on a path that is merely not a good one.
func roadVariants() []Fault {
	return []Fault{
		{Name: "a path of 200 ms there and back", Road: &Road{Late: 100 * time.Millisecond}, Act: upAndPinged},
		{Name: "ESP packets change places", Road: overtaken(3, esps(7)), Act: steadyPings},
		{Name: "every IKE message comes twice, and an ESP packet in a hundred", Act: steadyPings, Road: twice(func() func(*datagram) bool {
			now := everyNth(100, isESP)
			return func(d *datagram) bool { return isIKE(d) || now(d) }
		})},
		{Name: "one packet in sixty gets lost", Act: steadyPings, Road: losing(func() func(*datagram) bool { return everyNth(60, isAnything) })},
	}
}

// steadyPings brings the child up and sends some hundred packets each way, of
// which some may get lost.
func steadyPings(ctx context.Context, b *lab.Bench) error {
	if err := upAndPinged(ctx, b); err != nil {
		return err
	}
	_, err := lab.Ping(ctx, b.HostA, b.InnerA, b.InnerB, 500, 4*time.Millisecond)
	return err
}

// upAndPinged brings the child up and wants pings answered.
func upAndPinged(ctx context.Context, b *lab.Bench) error {
	if _, err := b.Initiate(ctx); err != nil {
		return err
	}
	return pinged(ctx, b)
}
