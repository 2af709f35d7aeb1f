//go:build !linux

package relay

import "syscall"

func guard() error { return nil }

func attributes() *syscall.SysProcAttr { return nil }
