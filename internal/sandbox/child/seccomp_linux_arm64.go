package child

import "golang.org/x/sys/unix"

const arch = unix.AUDIT_ARCH_AARCH64

// archCalls are allowed in addition.
func archCalls() []uint32 { return []uint32{unix.SYS_NEWFSTATAT} }
