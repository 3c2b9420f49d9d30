package probe

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudvlan/cvlanctl/diag"
)

// counters notes down what is counted, and gives what says later by how much it
// grew.
func counters(h *diag.HostFacts) (grow func()) {
	cores, _ := coreTimes()
	var carried uint64
	for i := range h.States {
		carried += h.States[i].Bytes
	}
	return func() {
		if now, err := xfrmStat(); err == nil && h.XfrmStat != nil {
			h.XfrmGrowth = map[string]uint64{}
			for name, n := range now {
				if before := h.XfrmStat[name]; n > before {
					h.XfrmGrowth[name] = n - before
				}
			}
			h.XfrmStat = now
		}
		if now, err := coreTimes(); err == nil {
			h.Cores = shares(cores, now)
		}
		if h.States == nil {
			return
		}
		var later diag.HostFacts
		if states(&later) != nil {
			return
		}
		var sum uint64
		for i := range later.States {
			sum += later.States[i].Bytes
		}
		if sum > carried {
			h.StateGrowth = sum - carried
		}
	}
}

// coreTime is the time that one core has spent, in ticks: proc_stat(5).
type coreTime struct{ all, idle, soft uint64 }

func coreTimes() ([]coreTime, error) {
	b, err := readFile("/proc/stat")
	if err != nil {
		return nil, err
	}
	var l []coreTime
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 8 || !strings.HasPrefix(f[0], "cpu") || f[0] == "cpu" {
			continue
		}
		var c coreTime
		for i, word := range f[1:min(len(f), 9)] {
			n, err := strconv.ParseUint(word, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("/proc/stat: %w", err)
			}
			c.all += n
			switch i {
			case 3, 4: // idle, and waiting for a disk
				c.idle += n
			case 6:
				c.soft = n
			}
		}
		l = append(l, c)
	}
	return l, nil
}

// shares compares two looks at the same cores.
func shares(before, after []coreTime) []diag.HostCore {
	if len(before) != len(after) {
		return nil // one came or went
	}
	l := []diag.HostCore{}
	for i := range after {
		all := after[i].all - before[i].all
		if after[i].all <= before[i].all || after[i].idle < before[i].idle || after[i].soft < before[i].soft {
			continue
		}
		l = append(l, diag.HostCore{Number: i, Busy: 1 - float64(after[i].idle-before[i].idle)/float64(all), Packets: float64(after[i].soft-before[i].soft) / float64(all)})
	}
	return l
}

// written are files that a running system writes again and again, or that were
// made when it was built: no right clock is before their times.
var written = []string{"/usr/lib/clock-epoch", "/var/lib/systemd/timesync/clock", "/var/lib/dpkg/status", "/var/lib/rpm", "/etc/ld.so.cache", "/var/log/wtmp"}

// clock asks the kernel whether something keeps its clock right, and files
// whether it has gone back.
func clock(h *diag.HostFacts) error {
	var x unix.Timex
	state, err := unix.Adjtimex(&x)
	if err != nil {
		return fmt.Errorf("adjtimex: %w", err)
	}
	h.Clock = &diag.HostClock{Synchronised: state != unix.TIME_ERROR && x.Status&unix.STA_UNSYNC == 0, MaxError: time.Duration(x.Maxerror) * time.Microsecond}
	for _, name := range written {
		if i, err := os.Stat(name); err == nil && i.ModTime().After(h.Clock.Past) {
			h.Clock.Past, h.Clock.PastFile = i.ModTime(), name
		}
	}
	return nil
}
