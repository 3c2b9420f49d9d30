package backend

import (
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
)

// Snapshot is what a daemon has at one moment: configured and active, joined.
type Snapshot struct {
	At    time.Time // when the daemon was asked
	State State     // not live: the snapshot is of the past
	// Since when the source has been watched: what a History knows begins
	// there.
	Watched     time.Time
	Version     engine.Version
	Connections []*engine.Connection
	SAs         []*engine.IKESA
	Tunnels     []Tunnel
}

// Tunnel is a configured connection with the IKE SAs made from it. An SA whose
// configuration is gone has a Tunnel of its name without Connection.
type Tunnel struct {
	Name       string
	Connection *engine.Connection // nil where it is no longer configured
	SAs        []*engine.IKESA    // in order of their unique ids
	Children   []Child
	Past
}

// Child is a configured child with the CHILD SAs made from it.
type Child struct {
	Name   string
	Config *engine.ChildConfig // nil where it is no longer configured
	SAs    []ChildSA
	Past
}

// ChildSA is a CHILD SA and the IKE SA that it belongs to.
type ChildSA struct {
	*engine.ChildSA
	IKE *engine.IKESA
}

// Up says whether a CHILD SA of it carries traffic now.
func (c *Child) Up() bool {
	for _, sa := range c.SAs {
		if childUp(sa.State) {
			return true
		}
	}
	return false
}

// Up says whether an IKE SA of it is established now.
func (t *Tunnel) Up() bool {
	for _, sa := range t.SAs {
		if ikeUp(sa.State) {
			return true
		}
	}
	return false
}

func ikeUp(s engine.IKEState) bool {
	return s == engine.IKEEstablished || s == engine.IKERekeying
}

func childUp(s engine.ChildState) bool {
	return s == engine.ChildInstalled || s == engine.ChildRekeying || s == engine.ChildUpdating
}

// Join puts every configured connection and child beside the SAs made from
// them, active or not, in the order of the configuration; SAs without one
// follow. History may be nil.
func Join(connections []*engine.Connection, sas []*engine.IKESA, h *History) []Tunnel {
	tunnels := make([]Tunnel, 0, len(connections))
	byName := make(map[string]int, len(connections))
	configured := 0
	for _, c := range connections {
		configured += len(c.Children)
	}
	children := make([]Child, 0, configured) // of all: thousands of small lists are dear
	for _, c := range connections {
		first := len(children)
		for _, cc := range c.Children {
			children = append(children, Child{Name: cc.Name, Config: cc})
		}
		t := Tunnel{Name: c.Name, Connection: c, Children: children[first:len(children):len(children)]}
		if _, twice := byName[c.Name]; !twice {
			byName[c.Name] = len(tunnels)
		}
		tunnels = append(tunnels, t)
	}
	for _, sa := range sas {
		i, ok := byName[sa.Name]
		if !ok {
			i = len(tunnels)
			byName[sa.Name] = i
			tunnels = append(tunnels, Tunnel{Name: sa.Name})
		}
		tunnels[i].add(sa)
	}
	for i := range tunnels {
		t := &tunnels[i]
		t.Past = h.Of(t.Name, "")
		for j := range t.Children {
			t.Children[j].Past = h.Of(t.Name, t.Children[j].Name)
		}
	}
	return tunnels
}

func (t *Tunnel) add(sa *engine.IKESA) {
	t.SAs = append(t.SAs, sa)
next:
	for _, c := range sa.Children {
		for i := range t.Children {
			if t.Children[i].Name == c.Name {
				t.Children[i].SAs = append(t.Children[i].SAs, ChildSA{c, sa})
				continue next
			}
		}
		t.Children = append(t.Children, Child{Name: c.Name, SAs: []ChildSA{{c, sa}}})
	}
}
