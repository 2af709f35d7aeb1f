//go:build linux

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func text(s string) uintptr {
	p, err := unix.BytePtrFromString(s)
	if err != nil {
		panic(err)
	}
	return uintptr(unsafe.Pointer(p))
}

// calls makes system calls that no function needs. Their arguments are invalid, so
// that a kernel that permits the calls returns other errors than the filter does.
func calls(r *report, _ []string) {
	var scratch [4096]byte
	at := uintptr(unsafe.Pointer(&scratch[0]))
	none := ^uintptr(0) // no descriptor
	r.call("io_uring_setup", unix.SYS_IO_URING_SETUP, 8, at)
	r.call("io_uring_enter", unix.SYS_IO_URING_ENTER, none, 0, 0, 0)
	r.call("io_uring_register", unix.SYS_IO_URING_REGISTER, none, 0, 0, 0)
	r.call("keyctl", unix.SYS_KEYCTL, 0, ^uintptr(2), 1) // joins the session keyring, or creates it
	r.call("add_key", unix.SYS_ADD_KEY, text("user"), text("hostile"), text("x"), 1, ^uintptr(3))
	r.call("request_key", unix.SYS_REQUEST_KEY, text("user"), text("hostile"), 0, ^uintptr(3))
	r.call("bpf", unix.SYS_BPF, 0, at, 72)
	r.call("perf_event_open", unix.SYS_PERF_EVENT_OPEN, at, 0, none, none, 0)
	r.call("userfaultfd", unix.SYS_USERFAULTFD, 1)
	r.call("init_module", unix.SYS_INIT_MODULE, at, 1, text(""))
	r.call("finit_module", unix.SYS_FINIT_MODULE, none, text(""), 0)
	r.call("delete_module", unix.SYS_DELETE_MODULE, text("none"), 0)
	r.call("kexec_load", unix.SYS_KEXEC_LOAD, 0, 0, 0, 0)
	r.call("reboot", unix.SYS_REBOOT, unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2, unix.LINUX_REBOOT_CMD_CAD_OFF, 0)
	r.call("swapon", unix.SYS_SWAPON, text("/tmp/none"), 0)
	r.call("swapoff", unix.SYS_SWAPOFF, text("/tmp/none"))
	r.call("acct", unix.SYS_ACCT, text("/tmp/none"))
	r.call("syslog", unix.SYS_SYSLOG, 3, at, 4096)
	r.call("settimeofday", unix.SYS_SETTIMEOFDAY, at, 0)
	r.call("clock_settime", unix.SYS_CLOCK_SETTIME, 0, at)
	r.call("sethostname", unix.SYS_SETHOSTNAME, text("hostile"), 7)
	r.call("setdomainname", unix.SYS_SETDOMAINNAME, text("hostile"), 7)
	r.call("quotactl", unix.SYS_QUOTACTL, 0, 0, 0, 0)
	r.call("name_to_handle_at", unix.SYS_NAME_TO_HANDLE_AT, uintptr(0xffffff9c), text("/"), at, at+64, 0)
	r.call("open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, none, at, 0)
	r.call("fanotify_init", unix.SYS_FANOTIFY_INIT, 0, 0)
	r.call("personality", unix.SYS_PERSONALITY, 0x0040000)
	r.call("vhangup", unix.SYS_VHANGUP)
	r.call("mbind", unix.SYS_MBIND, at, 4096, 0, 0, 0, 0)
	r.call("set_mempolicy", unix.SYS_SET_MEMPOLICY, 1, at, 1)
	r.call("move_pages", unix.SYS_MOVE_PAGES, 1, 0, 0, 0, 0, 0)
	r.call("migrate_pages", unix.SYS_MIGRATE_PAGES, 1, 0, 0, 0)
	r.call("mq_open", unix.SYS_MQ_OPEN, text("hostile"), unix.O_CREAT, 0o600, 0)
	r.call("nfsservctl", unix.SYS_NFSSERVCTL, 0, 0, 0)
	for name, number := range archCalls() {
		r.call(name, number, 3, at, 0)
	}
}

// mounts tries to change the mounts.
func mounts(r *report, _ []string) {
	r.record("mount", unix.Mount("none", "/tmp", "tmpfs", 0, ""))
	r.record("mount proc", unix.Mount("proc", "/tmp", "proc", 0, ""))
	r.record("bind", unix.Mount("/", "/tmp", "", unix.MS_BIND|unix.MS_REC, ""))
	r.record("remount", unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, ""))
	r.record("propagate", unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""))
	r.record("unmount", unix.Unmount("/tmp", unix.MNT_DETACH))
	r.record("unmount the code", unix.Unmount("/var/task", unix.MNT_DETACH))
	r.record("pivot_root", unix.PivotRoot("/tmp", "/tmp"))
	r.record("chroot", unix.Chroot("/tmp"))
	_, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE)
	r.record("open_tree", err)
	r.record("move_mount", unix.MoveMount(unix.AT_FDCWD, "/tmp", unix.AT_FDCWD, "/var", 0))
	_, err = unix.Fsopen("tmpfs", 0)
	r.record("fsopen", err)
	r.record("mount_setattr", unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}))
}

// namespaces tries to create and to enter namespaces.
func namespaces(r *report, _ []string) {
	for name, flag := range map[string]int{
		"user": unix.CLONE_NEWUSER, "mnt": unix.CLONE_NEWNS, "pid": unix.CLONE_NEWPID, "net": unix.CLONE_NEWNET, "ipc": unix.CLONE_NEWIPC,
		"uts": unix.CLONE_NEWUTS, "cgroup": unix.CLONE_NEWCGROUP, "time": unix.CLONE_NEWTIME,
	} {
		r.record("unshare "+name, unix.Unshare(flag))
		// The flags exclude each other, so the call creates nothing even if it is permitted.
		r.call("clone "+name, unix.SYS_CLONE, uintptr(flag|unix.CLONE_SIGHAND), 0)
	}
	for _, name := range []string{"mnt", "net", "pid", "user"} {
		for _, of := range []string{"self", "1"} {
			fd, err := unix.Open("/proc/"+of+"/ns/"+name, unix.O_RDONLY, 0)
			if err == nil {
				err = unix.Setns(fd, 0)
				unix.Close(fd)
			}
			r.record("setns "+of+" "+name, err)
		}
	}
	args := struct{ flags, rest [11]uint64 }{}
	args.flags[0] = unix.CLONE_NEWUSER | unix.CLONE_SIGHAND
	r.call("clone3", 435, uintptr(unsafe.Pointer(&args)), 88)
}
