package capture

import (
	"fmt"
	"slices"

	"golang.org/x/net/bpf"
)

// filter is a kernel filter program in the making. Jumps go to labels, far or
// near, and are filled in at the end.
type filter struct {
	prog  []bpf.Instruction
	jumps map[int]string // instructions that jump, and where to
	at    map[string]int
	ips   []uint32 // offsets at which an IP packet may begin
	extra []uint16
	opts  LiveOptions
}

const (
	accept = "accept"
	reject = "reject"
)

// filterProgram makes the program that lets IPsec through. cooked says that
// the kernel hands over packets without their link-layer header.
func filterProgram(o LiveOptions, cooked bool) ([]bpf.RawInstruction, error) {
	prog, err := filterInstructions(o, cooked)
	if err != nil {
		return nil, err
	}
	return bpf.Assemble(prog)
}

func filterInstructions(o LiveOptions, cooked bool) ([]bpf.Instruction, error) {
	f := &filter{jumps: map[int]string{}, at: map[string]int{}, extra: o.extra(), opts: o}
	if cooked {
		f.jump(f.packet(0))
	} else {
		f.ethernet(12, 2)
	}
	for _, off := range f.ips {
		f.ip(off)
	}
	f.label(accept)
	f.add(bpf.RetConstant{Val: maxFrame})
	f.label(reject)
	f.add(bpf.RetConstant{Val: 0})
	for i, to := range f.jumps {
		f.prog[i] = bpf.Jump{Skip: uint32(f.at[to] - i - 1)}
	}
	return f.prog, nil
}

func (f *filter) add(ins ...bpf.Instruction) { f.prog = append(f.prog, ins...) }

func (f *filter) label(name string) { f.at[name] = len(f.prog) }

func (f *filter) jump(to string) {
	f.jumps[len(f.prog)] = to
	f.add(nil)
}

// on jumps where the accumulator stands in the given relation to val.
func (f *filter) on(cond bpf.JumpTest, val uint32, to string) {
	f.add(bpf.JumpIf{Cond: cond, Val: val, SkipFalse: 1})
	f.jump(to)
}

func (f *filter) load(off uint32, size int) { f.add(bpf.LoadAbsolute{Off: off, Size: size}) }

// name makes a label that is unique for an offset.
func name(s string, off uint32) string { return fmt.Sprintf("%s@%d", s, off) }

// packet is the label of the part that judges an IP packet at off.
func (f *filter) packet(off uint32) string {
	if !slices.Contains(f.ips, off) {
		f.ips = append(f.ips, off)
	}
	return name("ip", off)
}

// ethernet judges the EtherType at off, behind which up to tags more VLAN
// tags are looked through.
func (f *filter) ethernet(off uint32, tags int) {
	f.load(off, 2)
	f.on(bpf.JumpEqual, 0x0800, f.packet(off+2))
	f.on(bpf.JumpEqual, 0x86dd, f.packet(off+2))
	f.on(bpf.JumpEqual, 0x8864, f.packet(off+2+8)) // PPPoE and PPP headers
	if tags > 0 {
		for _, t := range []uint32{0x8100, 0x88a8, 0x9100} {
			f.on(bpf.JumpEqual, t, name("vlan", off+4))
		}
	}
	f.jump(reject)
	if tags > 0 {
		f.label(name("vlan", off+4))
		f.ethernet(off+4, tags-1)
	}
}

// ip judges the IP packet at off.
func (f *filter) ip(off uint32) {
	f.label(name("ip", off))
	f.load(off, 1)
	f.add(bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4})
	f.on(bpf.JumpEqual, 4, name("v4", off))
	f.on(bpf.JumpEqual, 6, name("v6", off))
	f.jump(reject)

	f.label(name("v4", off))
	f.load(off+6, 2)
	f.on(bpf.JumpBitsSet, 0x1fff, accept) // a fragment behind the first
	f.load(off+9, 1)
	f.protocols(off, "4", 1)
	f.label(name("udp4", off))
	f.add(bpf.LoadMemShift{Off: off})
	f.ports(func(at uint32) bpf.Instruction { return bpf.LoadIndirect{Off: off + at, Size: 2} }, true)
	f.label(name("tcp4", off))
	f.add(bpf.LoadMemShift{Off: off})
	f.ports(func(at uint32) bpf.Instruction { return bpf.LoadIndirect{Off: off + at, Size: 2} }, false)
	f.label(name("icmp4", off))
	f.add(bpf.LoadMemShift{Off: off}, bpf.LoadIndirect{Off: off, Size: 1})
	for _, t := range []uint32{3, 4, 11, 12} { // unreachable, quench, time exceeded, parameter
		f.on(bpf.JumpEqual, t, accept)
	}
	f.jump(reject)

	f.label(name("v6", off))
	f.load(off+6, 1)
	for _, next := range []uint32{43, 44, 60} { // extension headers and fragments: what follows is not looked for
		f.on(bpf.JumpEqual, next, accept)
	}
	f.on(bpf.JumpEqual, 0, name("hop6", off))
	f.protocols(off, "6", 58)
	f.label(name("udp6", off))
	f.ports(func(at uint32) bpf.Instruction { return bpf.LoadAbsolute{Off: off + 40 + at, Size: 2} }, true)
	f.label(name("tcp6", off))
	f.ports(func(at uint32) bpf.Instruction { return bpf.LoadAbsolute{Off: off + 40 + at, Size: 2} }, false)
	f.label(name("icmp6", off))
	f.load(off+40, 1)
	f.on(bpf.JumpLessOrEqual, 4, accept) // the errors that RFC 4443 defines
	f.jump(reject)

	f.label(name("hop6", off))
	f.load(off+40, 1)
	f.on(bpf.JumpEqual, 58, reject) // multicast listeners, of which every host sends some
	f.jump(accept)
}

// protocols judges the protocol number in the accumulator.
func (f *filter) protocols(off uint32, version string, icmp uint32) {
	f.on(bpf.JumpEqual, 50, accept)
	f.on(bpf.JumpEqual, 51, accept)
	f.on(bpf.JumpEqual, 17, name("udp"+version, off))
	f.on(bpf.JumpEqual, 6, name("tcp"+version, off))
	f.on(bpf.JumpEqual, icmp, name("icmp"+version, off))
	if f.opts.Tunnels {
		for _, t := range []uint32{4, 41, 47} {
			f.on(bpf.JumpEqual, t, accept)
		}
	}
	f.jump(reject)
}

// ports judges both ports. load loads the two octets at an offset from the
// transport header. These jumps are near, to keep the program short.
func (f *filter) ports(load func(at uint32) bpf.Instruction, udp bool) {
	wanted := []uint32{4500}
	if udp {
		wanted = append(wanted, 500)
		if f.opts.Tunnels {
			wanted = append(wanted, 4789)
		}
	}
	for _, p := range f.extra {
		wanted = append(wanted, uint32(p))
	}
	yes := len(f.prog) + 2*(1+len(wanted)) + 1
	for _, at := range []uint32{0, 2} {
		f.add(load(at))
		for _, p := range wanted {
			f.add(bpf.JumpIf{Cond: bpf.JumpEqual, Val: p, SkipTrue: uint8(yes - len(f.prog) - 1)})
		}
	}
	f.jump(reject)
	f.add(bpf.RetConstant{Val: maxFrame})
}
