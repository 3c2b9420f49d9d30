package enginetest

import (
	"fmt"

	"github.com/cloudvlan/cvlanctl/engine/ike"
)

// Disagreements compares what two hosts that have only each other believe, at
// rest: each established IKE SA and each child must have its twin, with the
// same keys and mirrored selectors, and no data plane may have been told
// nonsense. It gives a sentence for each fault.
func Disagreements(a, b *Host) []string {
	var faults []string
	add := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	for _, pair := range [][2]*Host{{a, b}, {b, a}} {
		x, y := pair[0], pair[1]
		twins := map[string]bool{}
		for _, s := range y.Established() {
			i, r := s.SPIs()
			twins[i.String()+r.String()] = true
		}
		for _, s := range x.Established() {
			if i, r := s.SPIs(); !twins[i.String()+r.String()] {
				add("%s has IKE SA %s %s, %s does not", x.Name, i, r, y.Name)
			}
		}
		for spi, u := range x.Plane.Children {
			v := y.Plane.Children[u.SPIs.Out]
			switch {
			case v == nil:
				add("%s has child %s (%s in, %s out), %s has no twin", x.Name, u.Name, spi, u.SPIs.Out, y.Name)
			case v.SPIs.Out != spi:
				add("children %s of %s and %s do not point at each other", u.Name, x.Name, y.Name)
			case !sameKeys(u.In, v.Out) || !sameKeys(u.Out, v.In) || u.Transforms != v.Transforms:
				add("child %s: the keys of %s and %s differ", u.Name, x.Name, y.Name)
			case !u.Outbound:
				add("%s does not send with child %s", x.Name, u.Name)
			case fmt.Sprint(u.LocalTS) != fmt.Sprint(v.RemoteTS) || fmt.Sprint(u.RemoteTS) != fmt.Sprint(v.LocalTS):
				add("child %s: the selectors of %s and %s are not mirrored", u.Name, x.Name, y.Name)
			}
		}
		for _, f := range x.Plane.Faults {
			add("data plane of %s: %s", x.Name, f)
		}
		children := 0
		for _, s := range x.Endpoint.SAs() {
			for _, c := range s.Model().Children {
				if spi := c.SPIIn.Or(0); x.Endpoint.Parent(spi) != s {
					add("%s takes child %s, %s in, for one of another IKE SA", x.Name, c.Name, spi)
				}
				children++
			}
		}
		if children != len(x.Plane.Children) {
			add("%s: the IKE SAs have %d children, the data plane has %d", x.Name, children, len(x.Plane.Children))
		}
	}
	return faults
}

func sameKeys(a, b ike.ESPKeys) bool { return a.Encr.Equal(b.Encr) && a.Integ.Equal(b.Integ) }
