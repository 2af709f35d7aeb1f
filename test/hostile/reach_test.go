//go:build linux && e2e

package hostile_test

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/netdev"
)

// files of others are not there: those of the neighbour, of the platform, of
// the host.
func (p *platform) files(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.MkdirAll(outside, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{outside, filepath.Dir(outside), filepath.Dir(filepath.Dir(outside))} {
		if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // so that only the sandbox protects it
			t.Fatal(err)
		}
	}
	key := filepath.Join(outside, "key")
	if err := os.WriteFile(key, []byte("of the platform"), 0o666); err != nil { //nolint:gosec // as above
		t.Fatal(err)
	}
	look := func(paths ...string) outcomes {
		if p.vessel == node() {
			f := p.hostile(t, "files.cjs")
			defer f.end()
			return f.attempts(t, target("/", paths...))
		}
		return p.attack(t, append([]string{"paths"}, paths...)...)
	}
	look(
		outside, key, p.data, p.data+"/key", p.dir, p.dir+"/sockets", p.trees, p.trees+"/neighbour/secret.txt",
		"/var/task/../neighbour/secret.txt", "/var/task/neighbour", "/etc/shadow", "/root", "/home", "/run", "/var/run", "/var/lib", "/var/log",
		"/boot", "/sys", "/opt", "/srv", "/mnt",
	).want(t, "ENOENT|EROFS|EISDIR", nil) // EISDIR: of a place for mounts, which is empty
	look("/var/task", "/var/task/neighbour.cjs", "/etc", "/etc/passwd", "/usr/lib", "/var", "/").each(t, func(name string) string {
		switch {
		case strings.HasPrefix(name, "read by init"):
			return "ENOENT"
		case strings.HasPrefix(name, "read"), strings.HasPrefix(name, "list"):
			return "done|EISDIR|ENOTDIR|EACCES"
		}
		return "EROFS|EACCES|EISDIR|ENOTDIR|EBUSY|EXDEV|EPERM"
	})
	if left, err := os.ReadFile(key); err != nil || string(left) != "of the platform" {
		t.Errorf("the platform's file is %q, %v", left, err)
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
		t.Errorf("outside are %v, %v", left, err)
	}
	for _, file := range []string{"hostile/neighbour.cjs", "neighbour/secret.txt"} {
		if _, err := os.Stat(filepath.Join(p.trees, file)); err != nil {
			t.Error(err)
		}
	}
}

// links and traps left in /tmp lead no program anywhere.
func (p *platform) links(t *testing.T) {
	outside := t.TempDir()
	key := filepath.Join(outside, "key")
	if err := os.WriteFile(key, []byte("of the platform"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		f := p.hostile(t, "links.cjs")
		if got := f.get(t, target("/", outside)); got != "trapped" {
			t.Fatal(got)
		}
		f.end()
	}
	if left, err := os.ReadFile(key); err != nil || string(left) != "of the platform" {
		t.Errorf("the platform's file is %q, %v", left, err)
	}
	until(t, "nothing of it is left in the engine's directory", func() bool {
		var left []string
		_ = filepath.WalkDir(p.dir, func(path string, _ os.DirEntry, _ error) error {
			if strings.Contains(path, "swapped") || strings.Contains(path, "closed") || strings.Contains(path, "deep") {
				left = append(left, path)
			}
			return nil
		})
		return len(left) == 0
	})
}

// connections lead to none of the services of the host, nor to other instances.
func (p *platform) connections(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("the API")) }))
	defer api.Close()
	_, port, err := net.SplitHostPort(api.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	gateway, gateway6 := netdev.Gateway.String(), netdev.Gateway6.String()
	targets := []string{
		"tcp:" + api.Listener.Addr().String(), "tcp:localhost:" + port, "tcp:0.0.0.0:" + port, "tcp:[::]:" + port, "tcp:[::ffff:127.0.0.1]:" + port,
		"tcp:169.254.169.254:80", "tcp:[::ffff:169.254.169.254]:80", "tcp:[fd00:ec2::254]:80", "tcp:10.0.0.1:80", "tcp:192.168.0.1:80", "tcp:172.17.0.1:2375", "tcp:100.100.100.200:80",
		"tcp:" + gateway + ":" + port, "tcp:[" + gateway6 + "]:" + port, "tcp:" + netdev.Host + ":" + port, "tcp:" + gateway + ":22", "tcp:255.255.255.255:80", "tcp:224.0.0.1:80",
	}
	everywhere := greeter(t, "tcp", ":0")
	_, open, err := net.SplitHostPort(everywhere.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLinkLocalUnicast() {
			targets = append(targets, "tcp:"+net.JoinHostPort(ip.IP.String(), open))
		}
	}
	abstract := greeter(t, "unix", "@lateen-hostile-"+open)
	pathname := filepath.Join(reachable(t), "socket")
	greeter(t, "unix", pathname)
	if err := os.Chmod(pathname, 0o777); err != nil { //nolint:gosec // so that only the sandbox protects it
		t.Fatal(err)
	}
	targets = append(targets, "unix:"+abstract.Addr().String(), "unix:"+pathname, "unix:/proc/1/root"+pathname, "unix:/run/docker.sock", "unix:/run/dbus/system_bus_socket")
	other := p.hostile(t, "attacker.cjs")
	if got := other.get(t, target("/", "listen", "0.0.0.0:9999")); got != "listening\n" {
		t.Fatal(got)
	}
	targets = append(targets, "tcp:127.0.0.1:9999", "tcp:"+netdev.Guest.Addr().String()+":9999", "tcp:["+netdev.Guest6.Addr().String()+"]:9999", "tcp:"+gateway+":9999")
	got := p.attack(t, append([]string{"connect"}, targets...)...)
	if len(got) != len(targets) {
		t.Errorf("%d of %d were tried", len(got), len(targets))
	}
	got.want(t, "ECONNREFUSED|ENETUNREACH|EHOSTUNREACH|EACCES|EPERM|ECONNRESET|ENOENT|EADDRNOTAVAIL|EINVAL", nil)
	// The network works, and the networks that the operator allows are reachable.
	allowed := "tcp:" + netip.AddrPortFrom(netdev.Gateway, p.service.Port()).String()
	p.attack(t, "connect", allowed).want(t, "done", nil)
	// A function may reach its own listeners: the network is its own.
	own := p.sail(t, unchanged)
	own.get(t, target("/", "listen", "127.0.0.1:9998"))
	own.attempts(t, target("/", "connect", "tcp:127.0.0.1:9998")).want(t, "done", nil)
}

// flood opens as many connections as possible, to permitted and forbidden addresses:
// the platform holds few, and none once the function has ended.
func (p *platform) flood(t *testing.T) {
	before := descriptors(t)
	f := p.hostile(t, "attacker.cjs")
	port := strconv.Itoa(int(p.service.Port()))
	got := f.attempts(t, target("/", "flood", netdev.Gateway.String()+":"+port, "1500"))
	t.Logf("%v, and the platform has %d descriptors more", got, descriptors(t)-before)
	if made, err := strconv.Atoi(got["made"]); err != nil || made == 0 || made > 1024 {
		t.Errorf("it made %s connections", got["made"])
	}
	if more := descriptors(t) - before; more > 2*(1024+256)+100 { // the test has the other end of each
		t.Errorf("the platform has %d descriptors more of it", more)
	}
	f.end()
	until(t, "the platform is rid of them", func() bool { return descriptors(t) < before+300 }) // blank processes have some
}

// descriptors is how many this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// greeter sends a greeting on each connection.
func greeter(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte("hello\n"))
			go func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(time.Second))
				bufio.NewReader(conn).ReadString('\n')
			}()
		}
	}()
	return l
}

// reachable returns a directory that every user may enter; its name is short, since
// names of sockets must be.
func reachable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "h") //nolint:usetesting // its names are too long
	if err == nil {
		err = os.Chmod(dir, 0o755) //nolint:gosec // as said
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// netlink requests another network from the kernel, and gets none.
func (p *platform) netlink(t *testing.T) {
	p.attack(t, "netlink").want(t, "EPERM", nil)
}

// inherited checks that descriptors are the three of every program: those of the
// platform are not inherited by the processes that a function starts.
func (p *platform) inherited(t *testing.T) {
	got := p.attack(t, "inherited")
	got.each(t, func(fd string) string {
		switch fd {
		case "0":
			return "/dev/null"
		case "1", "2":
			return `(pipe|socket):.*`
		default:
			return `anon_inode:.*|/proc/\d+/fd` // the Go runtime's own
		}
	})
}

// descriptors checks that a function that breaks the agent's descriptors harms only
// itself.
func (p *platform) descriptors(t *testing.T) {
	t.Run("opened again", func(t *testing.T) {
		f := p.hostile(t, "descriptors.cjs")
		f.attempts(t, "/reopen").want(t, "ENXIO", nil) // a socket is not to be opened
	})
	t.Run("listed", func(t *testing.T) {
		f := p.hostile(t, "descriptors.cjs")
		f.attempts(t, "/list").want(t, `(socket|pipe|anon_inode):.*|/dev/null|/dev/urandom|ENOENT`, nil)
	})
	for _, fds := range []string{"3", "4", "0,1,2", "3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30"} {
		t.Run("closed "+fds[:1], func(t *testing.T) {
			f := p.hostile(t, "descriptors.cjs")
			if _, err := f.try(t.Context(), "/"+fds); err != nil {
				t.Logf("its own request: %v", err)
			}
			f.end() // this must end
			f.gone(t)
		})
	}
}
