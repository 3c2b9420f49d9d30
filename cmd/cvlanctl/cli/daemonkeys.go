package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cloudvlan/cvlanctl/capture/keylog/charonlog"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
)

// maxKeyLog bounds what is kept of a daemon's log for its keys, in octets.
const maxKeyLog = 16 << 20

// daemonKeys collects what a charon tells at level 4 while a command runs, and
// writes Wireshark's key tables from it. What it tells there goes nowhere else.
type daemonKeys struct {
	dir string
	log bytes.Buffer
	cut bool
}

// newDaemonKeys prepares for keys that were asked for. Whoever calls it has
// warned of them.
func newDaemonKeys(dir string) (*daemonKeys, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder for the key tables: %w", err)
	}
	return &daemonKeys{dir: dir}, nil
}

// before keeps what an event of the daemon's log tells of keys, and hands on
// only what the usual level would have told, where there is a next.
func (k *daemonKeys) before(next backend.Progress) backend.Progress {
	return func(e *event.Event) {
		if e.Log != nil {
			k.line(e.Log)
		}
		if next != nil && (e.Log == nil || e.Log.Level <= 1) {
			next(e)
		}
	}
}

// line writes an event as charon writes it into a file. One command is told by
// one thread after the other.
func (k *daemonKeys) line(l *event.Log) {
	if k.log.Len()+len(l.Text) > maxKeyLog {
		k.cut = true
		return
	}
	for part := range strings.Lines(l.Text) {
		fmt.Fprintf(&k.log, "01[%s] <%s|%d> %s\n", l.Group, l.IKE, l.IKEID, strings.TrimRight(part, "\n"))
	}
}

// write writes the tables of all keys that were told, and says of how many SAs
// they are.
func (k *daemonKeys) write() (int, error) {
	keys, err := charonlog.Parse(&k.log)
	if k.cut {
		err = errors.Join(err, fmt.Errorf("the daemon told more than %d octets; later keys are missing", maxKeyLog))
	}
	n := len(keys.IKE) + len(keys.IKEv1) + len(keys.ESP)
	if err == nil && n == 0 {
		return 0, nil // nothing came up
	}
	if failed := (charonlog.Tables{AnyAddress: true}).Write(k.dir, keys); failed != nil {
		err = errors.Join(err, failed)
	}
	if err != nil {
		return n, fmt.Errorf("key tables: %w", err)
	}
	return n, nil
}
