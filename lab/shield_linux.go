package lab

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"github.com/elastic/go-seccomp-bpf"
)

// guestEnv keeps programs in a guest off the vector registers that shielded
// takes from it: in the C library, whose copying has a preference of its own, in
// OpenSSL, in libreswan's NSS, and in Go.
var guestEnv = []string{
	"GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX,-AVX2,-AVX_Usable,-AVX2_Usable,-AVX512F,-AVX512VL,-AVX512BW,-XSAVE,-XSAVEC,-AVX_Fast_Unaligned_Load",
	"OPENSSL_ia32cap=~0x1000000000000000:0",
	"NSS_DISABLE_AVX=1", "NSS_DISABLE_AVX2=1",
	"GODEBUG=cpu.avx=off,cpu.avx2=off,cpu.avx512f=off,cpu.avx512bw=off,cpu.avx512vl=off",
}

// needsShield says that this processor's registers do not fit into the guest's
// kernel: it was built before those of AMX, and takes a state of 11 kB for a
// fault.
func needsShield() bool {
	info, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && bytes.Contains(info, []byte(" amx_tile"))
}

// shielded starts a process that cannot read or write the extended registers of
// those it traces, so that a guest's kernel uses the plain ones: x87 and SSE.
// What else a guest's programs kept in vector registers would be lost.
func shielded(start func() (*Process, error)) (*Process, error) {
	const (
		getRegisterSet = 0x4204 // PTRACE_GETREGSET
		extendedState  = 0x202  // NT_X86_XSTATE
	)
	type started struct {
		p   *Process
		err error
	}
	done := make(chan started)
	go func() {
		// The filter is the thread's own, and children inherit it. The thread is
		// never given back, and lives as long as the guest, which is told to end
		// with it.
		runtime.LockOSThread()
		err := seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionAllow,
			Syscalls: []seccomp.SyscallGroup{{
				Action: seccomp.ActionErrno | seccomp.Action(syscall.EINVAL),
				NamesWithCondtions: []seccomp.NameWithConditions{{Name: "ptrace", Conditions: seccomp.ArgumentConditions{
					{Argument: 0, Operation: seccomp.Equal, Value: getRegisterSet},
					{Argument: 2, Operation: seccomp.Equal, Value: extendedState},
				}}},
			}},
		}})
		if err != nil {
			done <- started{err: fmt.Errorf("shielding a guest from this processor's registers: %w", err)}
			return
		}
		p, err := start()
		done <- started{p, err}
		if err == nil {
			<-p.Done()
		}
	}()
	s := <-done
	return s.p, s.err
}
