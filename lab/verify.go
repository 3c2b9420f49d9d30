package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Decryption says what tshark made of a capture with its keys.
type Decryption struct {
	IKE, IKEOpen int // protected IKE messages, and those that tshark decrypted
	ESP, ESPOpen int // ESP packets, and those whose ICV tshark found right
	Malformed    int // frames that tshark calls malformed
}

// Complete says whether everything protected was opened.
func (d Decryption) Complete() bool {
	return d.IKE == d.IKEOpen && d.ESP == d.ESPOpen && d.Malformed == 0
}

// wiresharkLacks are names in our tables that Wireshark 4.0 refuses.
var wiresharkLacks = []string{"ChaCha20 with Poly1305", "AES-CCM with "}

// Decrypt has tshark decrypt a capture with the key tables of folder keys. It
// also gives the table rows that had to be kept from tshark, because it has no
// name for their cipher.
func Decrypt(ctx context.Context, capture, keys string) (d Decryption, kept int, err error) {
	profile, err := os.MkdirTemp("", "cvl-tshark-")
	if err != nil {
		return d, 0, fmt.Errorf("profile for tshark: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(profile)) }()
	if keys != "" {
		if kept, err = copyTables(keys, profile); err != nil {
			return d, 0, err
		}
	}
	cmd := exec.CommandContext(ctx, "tshark", "-n", "-r", capture,
		"-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE",
		"-Y", "isakmp or esp", "-T", "fields", "-E", "occurrence=a",
		"-e", "isakmp.nextpayload", "-e", "isakmp.enc.decrypted", "-e", "isakmp.flag_e",
		"-e", "esp.sequence", "-e", "esp.icv_good", "-e", "_ws.malformed", "-e", "isakmp.typepayload")
	cmd.Env = append(os.Environ(), "WIRESHARK_CONFIG_DIR="+profile)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return d, kept, fmt.Errorf("tshark on %s: %w: %s", capture, err, lastLine(complaints.String()))
	}
	for _, line := range strings.Split(string(out), "\n") {
		d.count(strings.Split(line, "\t"))
	}
	return d, kept, nil
}

// count reads one frame's fields, in the order in which Decrypt asks for them.
func (d *Decryption) count(f []string) {
	if len(f) < 7 {
		return
	}
	first, _, _ := strings.Cut(f[0], ",")
	switch {
	case first == "46" || first == "53": // SK and SKF
		d.IKE++
		if f[1] != "" {
			d.IKEOpen++
		}
	case f[2] == "1" || f[2] == "True": // IKEv1: only what was decrypted has payloads
		d.IKE++
		if f[6] != "" {
			d.IKEOpen++
		}
	}
	if f[3] != "" {
		d.ESP++
		if f[4] == "1" || f[4] == "True" {
			d.ESPOpen++
		}
	}
	if f[5] != "" {
		d.Malformed++
	}
}

func copyTables(from, to string) (kept int, err error) {
	files, err := os.ReadDir(from)
	if err != nil {
		return 0, fmt.Errorf("key tables: %w", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(from, f.Name()))
		if err != nil {
			return kept, fmt.Errorf("key table: %w", err)
		}
		var rows []string
		for _, row := range strings.SplitAfter(string(text), "\n") {
			if unknownToWireshark(row) {
				kept++
				continue
			}
			rows = append(rows, row)
		}
		if err := os.WriteFile(filepath.Join(to, f.Name()), []byte(strings.Join(rows, "")), 0o600); err != nil {
			return kept, fmt.Errorf("key table: %w", err)
		}
	}
	return kept, nil
}

func unknownToWireshark(row string) bool {
	for _, name := range wiresharkLacks {
		if strings.Contains(row, name) {
			return true
		}
	}
	return false
}
