package page

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

func packetField(k *feed.Packet) func(string) string {
	return func(key string) string {
		switch key {
		case "":
			return k.Proto + " " + endpoint(k.Src) + " " + endpoint(k.Dst) + " " + k.Summary
		case "peer", "host":
			return endpoint(k.Src) + " " + endpoint(k.Dst)
		case "src":
			return endpoint(k.Src)
		case "dst":
			return endpoint(k.Dst)
		case "proto":
			return k.Proto
		case "spi", "exchange":
			return k.Summary
		case "frame":
			return fmt.Sprint(k.Frame)
		}
		return ""
	}
}

var packetColumns = []widget.Column{
	{Title: "FRAME", Min: 6, Max: 9, Right: true},
	{Title: "TIME", Min: 10, Max: 15, Right: true},
	{Title: "SOURCE", Min: 13, Max: 26, Grow: 2},
	{Title: "DESTINATION", Min: 13, Max: 26, Grow: 2},
	{Title: "SIZE", Min: 5, Max: 5, Right: true, Drop: 1},
	{Title: "WHAT", Min: 28, Max: 200, Grow: 3},
}

func (p *Packets) spans(k *feed.Packet, widths []int) []theme.Span {
	side := func(a netip.AddrPort) string {
		switch {
		case !a.IsValid():
			return ""
		case min(widths[2], widths[3]) < withPorts:
			return a.Addr().String()
		}
		return endpoint(a)
	}
	role, size := theme.Plain, ""
	if k.Problem {
		role = theme.Bad
	} else if k.Proto == "esp" || k.Proto == "ah" || k.Proto == "natt-keepalive" {
		role = theme.Muted
	}
	if k.Length > 0 {
		size = fmt.Sprint(k.Length)
	}
	frame := ""
	if k.Frame > 0 {
		frame = fmt.Sprint(k.Frame)
	}
	return []theme.Span{
		theme.S(theme.Muted, frame), theme.S(theme.Muted, p.when(k.Time)), theme.S(theme.Plain, side(k.Src)), theme.S(theme.Plain, side(k.Dst)),
		theme.S(theme.Muted, size), theme.S(role, k.Summary),
	}
}

func (p *Packets) when(at time.Time) string {
	switch {
	case at.IsZero():
		return ""
	case p.clock:
		return clock(at)
	}
	return sinceStart(at.Sub(p.first))
}

func (p *Packets) cells(k *feed.Packet) []string {
	size := ""
	if k.Length > 0 {
		size = fmt.Sprint(k.Length)
	}
	src, dst := "", ""
	if k.Src.IsValid() {
		src = endpoint(k.Src)
	}
	if k.Dst.IsValid() {
		dst = endpoint(k.Dst)
	}
	return []string{fmt.Sprint(k.Frame), k.Time.UTC().Format(time.RFC3339Nano), src, dst, k.Proto, size, k.Summary}
}
