//go:build linux

package main

import (
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// ofThisArchitecture are calls that no other has.
func ofThisArchitecture() map[string]uintptr {
	return map[string]uintptr{
		"iopl": unix.SYS_IOPL, "ioperm": unix.SYS_IOPERM, "modify_ldt": unix.SYS_MODIFY_LDT, "uselib": unix.SYS_USELIB,
		"lookup_dcookie": unix.SYS_LOOKUP_DCOOKIE, "_sysctl": unix.SYS__SYSCTL, "ustat": unix.SYS_USTAT, "sysfs": unix.SYS_SYSFS,
		"kexec_file_load": unix.SYS_KEXEC_FILE_LOAD,
	}
}

// int80 makes a system call as a 32-bit program does.
func int80(number, a uint32) uint32

// foreign makes calls by the numbers of other architectures, which a filter
// that knows but its own lets pass under a false name.
func foreign(r *report, args []string) {
	if len(args) == 0 {
		r.apart("i386", "foreign", "i386")
		r.apart("x32", "foreign", "x32")
		return
	}
	switch args[0] {
	case "i386":
		debug.SetPanicOnFault(true) // a kernel without the 32-bit table answers the interrupt with a fault
		defer func() {
			if recover() != nil {
				r.note("i386", unix.SignalName(unix.SIGSEGV))
			}
		}()
		if uid := int32(int80(199, 0)); uid < 0 { // getuid32
			r.tell("i386", unix.Errno(-uid))
			return
		}
		r.note("i386", "done")
	case "x32":
		r.call("x32", 0x40000000|unix.SYS_GETUID)
	}
}
