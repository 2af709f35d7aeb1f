//go:build linux && e2e

package hostile_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// refused is how a filter of system calls refuses.
const refused = "EPERM|ENOSYS"

// attack runs the attacker in an instance of its own.
func (p *platform) attack(t *testing.T, args ...string) outcomes {
	t.Helper()
	f := p.sail(t, unchanged)
	defer f.end()
	return f.attempts(t, target("/", args...))
}

func (p *platform) calls(t *testing.T) {
	p.attack(t, "calls").want(t, refused, map[string]string{"mq_open": refused + "|done"}) // done: in a namespace of its own
}

func (p *platform) mounts(t *testing.T) {
	p.attack(t, "mounts").want(t, refused, nil)
}

func (p *platform) namespaces(t *testing.T) {
	p.attack(t, "namespaces").each(t, func(name string) string {
		switch {
		case strings.HasPrefix(name, "setns 1 "):
			return "EPERM|EACCES|ENOENT"
		case name == "clone time":
			return ".*" // no flag of clone(2): it is a signal
		}
		return refused
	})
}

func (p *platform) identity(t *testing.T) {
	const noCapability = "0000000000000000"
	got := p.attack(t, "identity")
	except := map[string]string{
		"Uid": ownUser(p, t), "Gid": ownUser(p, t), "CapInh": noCapability, "CapPrm": noCapability, "CapEff": noCapability, "CapAmb": noCapability,
		"CapBnd": noCapability, "NoNewPrivs": "1", "Seccomp": "2",
		"Groups":               "(65534 ?)*", // ids outside of the mapping
		"allow new privileges": "EINVAL",
		"ambient capability":   "EPERM",
		"setuid":               "EPERM|EINVAL", "setgid": "EPERM|EINVAL", "setresuid": "EPERM|EINVAL", "setgroups": "EPERM|EINVAL",
		"write uid_map":   "EPERM|EACCES|EROFS",
		"write gid_map":   "EPERM|EACCES|EROFS",
		"write setgroups": "EPERM|EACCES|EROFS",
	}
	got.want(t, "EPERM", except)
}

// ownUser is the user that every function is to itself.
func ownUser(p *platform, t *testing.T) string {
	t.Helper()
	if p.layer(t, "a user namespace").Missing != "" {
		return `(\d{4,}) \d+ \d+ \d+`
	}
	return "1000 1000 1000 1000"
}

// setuid programs, root's where the test can make them, are programs like others.
func (p *platform) setuid(t *testing.T) {
	program := filepath.Join(p.trees, "hostile", "setuid")
	data, err := os.ReadFile(filepath.Join(p.trees, "hostile", "attacker"))
	if err == nil {
		err = os.WriteFile(program, data, 0o755) //nolint:gosec // a program
	}
	if err == nil {
		err = os.Chmod(program, 0o755|os.ModeSetuid|os.ModeSetgid)
	}
	if err != nil {
		t.Fatal(err)
	}
	got := p.attack(t, "setuid", "/var/task/setuid")
	user := strings.TrimPrefix(ownUser(p, t), "(")
	got.want(t, `(?s).*"Uid":"`+strings.Replace(user, ")", "", 1)+`".*`, nil)
	if said := got["run 0"]; !strings.Contains(said, `"CapEff":"0000000000000000"`) || !strings.Contains(said, `"setuid":"E`) {
		t.Errorf("a setuid program says %s", said)
	}
}

func (p *platform) foreign(t *testing.T) {
	p.attack(t, "foreign").want(t, "", map[string]string{"i386": "SIGSYS|SIGSEGV", "x32": "ENOSYS"})
}

func (p *platform) terminals(t *testing.T) {
	p.attack(t, "terminals").want(t, "EPERM", map[string]string{
		"TIOCSTI /dev/tty": "ENOENT|ENXIO", "TIOCSTI /dev/ptmx": "ENOENT", "TIOCSTI /dev/pts/ptmx": "ENOENT", "TIOCSTI /dev/pts/0": "ENOENT",
	})
}

func (p *platform) devices(t *testing.T) {
	p.attack(t, "devices").want(t, "ENOENT", map[string]string{"make a character device": "EPERM", "make a block device": "EPERM"})
}

func (p *platform) limits(t *testing.T) {
	got := p.attack(t, "limits")
	got.want(t, "EPERM", map[string]string{"raise the priority": "EACCES|EPERM", "lower the OOM score": "EACCES|EROFS|EPERM", "lock memory": "EPERM|ENOMEM", "raise core": "EPERM"})
}

func (p *platform) sockets(t *testing.T) {
	const noProtocol = "EPROTONOSUPPORT"
	p.attack(t, "sockets").want(t, "EAFNOSUPPORT", map[string]string{
		"raw": "EPERM|" + noProtocol, "raw IPv6": "EPERM|" + noProtocol,
		"netlink audit": noProtocol, "netlink filter": noProtocol, "netlink xfrm": noProtocol, "netlink events": noProtocol, "netlink generic": noProtocol,
		"sctp": noProtocol, "mptcp": noProtocol, "dccp": noProtocol + "|ESOCKTNOSUPPORT",
	})
}

func (p *platform) proc(t *testing.T) {
	f := p.hostile(t, "proc.cjs")
	const nothing = "ENOENT|EACCES|EPERM|empty"
	got := f.attempts(t, "/")
	except := map[string]string{
		"pids": `[1-3]`, "self": `\d{1,2}`, "secrets": "",
		"read kcore": nothing, "read kmsg": "EPERM|EACCES", "read keys": nothing, "read timer_list": nothing, "read kpagecount": nothing,
		"read sched_debug": nothing, "list sys": "ENOENT", "list cgroups": "ENOENT",
	}
	got.want(t, "EROFS|EACCES|ENOENT", except)
}

// processes of the host and of its own namespace, which are as good as it.
func (p *platform) processes(t *testing.T) {
	behindRelay := p.vessel.runtime == "executable" || p.vessel.runtime == "bun1.x"
	got := p.attack(t, "processes", strconv.Itoa(os.Getpid()), strconv.Itoa(os.Getppid()), strconv.Itoa(os.Getpid()-1))
	if _, tried := got["take a descriptor of relay"]; tried != behindRelay {
		t.Errorf("the relay was attacked: %t", tried)
	}
	got.each(t, func(name string) string {
		what, whose, _ := strings.Cut(name, " of ")
		switch {
		case name == "take a descriptor of parent" && behindRelay:
			return "done" // of a program's own process: the relay must be able to, too
		case strings.HasPrefix(whose, "host") && what == "take a descriptor", strings.HasPrefix(name, "kill host"):
			return "ESRCH"
		case whose != "" && !strings.Contains(what, " "):
			return "ENOENT" // init's is not to be looked into either
		}
		return "EPERM"
	})
}

// kill sends signals to all it sees, and to some it does not.
func (p *platform) kill(t *testing.T) {
	t.Run("of the host", func(t *testing.T) {
		f := p.hostile(t, "kill.cjs")
		got := f.attempts(t, target("/", strconv.Itoa(os.Getpid()), strconv.Itoa(os.Getppid()), "-"+strconv.Itoa(os.Getpid())))
		got.want(t, "ESRCH", nil)
	})
	t.Run("init", func(t *testing.T) {
		f := p.hostile(t, "kill.cjs")
		body, err := f.try(t.Context(), target("/", "1"))
		t.Logf("%s %v", body, err) // it passes SIGTERM on: that is the function's own affair
		f.end()
		f.gone(t)
	})
	t.Run("itself, to stop it", func(t *testing.T) {
		f := p.hostile(t, "kill.cjs")
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if body, err := f.try(ctx, "/stop"); err == nil {
			t.Errorf("it answers: %s", body)
		}
		f.end()
		f.gone(t)
	})
	for _, who := range []string{"parent", "-1"} {
		t.Run(who, func(t *testing.T) {
			f := p.hostile(t, "kill.cjs")
			if body, err := f.try(t.Context(), target("/", who)); err == nil && who != "-1" && strings.Contains(body, "ESRCH") {
				t.Errorf("%s", body) // the sandbox has no other process
			}
			f.end()
		})
	}
}
