//go:build linux

package main

import (
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// archCalls returns the system calls that only this architecture has.
func archCalls() map[string]uintptr {
	return map[string]uintptr{
		"iopl": unix.SYS_IOPL, "ioperm": unix.SYS_IOPERM, "modify_ldt": unix.SYS_MODIFY_LDT, "uselib": unix.SYS_USELIB,
		"lookup_dcookie": unix.SYS_LOOKUP_DCOOKIE, "_sysctl": unix.SYS__SYSCTL, "ustat": unix.SYS_USTAT, "sysfs": unix.SYS_SYSFS,
		"kexec_file_load": unix.SYS_KEXEC_FILE_LOAD,
	}
}

// int80 makes a system call with the 32-bit interrupt.
func int80(number, a uint32) uint32

// foreign makes system calls with the numbers of other architectures. A filter that
// does not check the architecture confuses them with permitted calls.
func foreign(r *report, args []string) {
	if len(args) == 0 {
		r.inProcess("i386", "foreign", "i386")
		r.inProcess("x32", "foreign", "x32")
		return
	}
	switch args[0] {
	case "i386":
		debug.SetPanicOnFault(true) // a kernel without the 32-bit table raises a fault
		defer func() {
			if recover() != nil {
				r.set("i386", unix.SignalName(unix.SIGSEGV))
			}
		}()
		if uid := int32(int80(199, 0)); uid < 0 { // getuid32
			r.record("i386", unix.Errno(-uid))
			return
		}
		r.set("i386", "done")
	case "x32":
		r.call("x32", 0x40000000|unix.SYS_GETUID)
	}
}
