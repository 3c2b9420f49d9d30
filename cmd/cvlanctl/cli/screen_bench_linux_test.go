package cli

import (
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/sys/unix"

	"github.com/cloudvlan/cvlanctl/engine/vici/vicitest"
)

// threadTime gives the processor time that the calling thread has used.
func threadTime(b *testing.B) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// BenchmarkScreenOfALargeDaemon draws frames of a daemon with 5,000
// connections and 2,000 SAs, read anew every second, while somebody scrolls. It
// reports the 99th percentile of a frame's time, by the clock and by the
// processor time that it took, which other work on the machine does not
// lengthen; and the memory in use.
func BenchmarkScreenOfALargeDaemon(b *testing.B) {
	s := vicitest.NewDaemon(5000, 2000)
	path := filepath.Join(b.TempDir(), "vici")
	if err := s.Listen("unix", path); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }() // its work is done
	w := watchTest(b, viciClient(b, path), 160, 50)
	w.until(b, "ESTABLISHED")
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var frames, used []time.Duration
	b.ResetTimer()
	for b.Loop() {
		msg := w.pulse() // the wait until the next frame is not the frame's
		began, before := time.Now(), threadTime(b)
		_, w.pulse = w.model.Update(msg)
		w.model.Update(tea.KeyPressMsg{Code: tea.KeyPgDown})
		_ = w.model.View()
		frames, used = append(frames, time.Since(began)), append(used, threadTime(b)-before)
	}
	b.StopTimer()
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	report := func(name string, list []time.Duration) {
		slices.Sort(list)
		for _, at := range []struct {
			name string
			i    int
		}{{"median", len(list) / 2}, {"p99", len(list) * 99 / 100}, {"max", len(list) - 1}} {
			b.ReportMetric(float64(list[at.i].Microseconds())/1000, at.name+"-"+name)
		}
	}
	report("ms", frames)
	report("cpu-ms", used)
	b.ReportMetric(float64(m.HeapInuse)/(1<<20), "heap-MiB")
}
