package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

const (
	leastDisk        = 256 << 20 // bytes free, to start at all
	leastMemory      = 1 << 30   // bytes
	filesPerInstance = 64        // descriptors for an instance and the connections to it
	filesOfOwn       = 1024      // descriptors for everything else

	askTimeout  = 5 * time.Second
	soonExpired = 7 * 24 * time.Hour
)

// Examine looks at this host with the eyes of a platform that is to run there
// with these settings, whether or not one does already. It changes nothing that
// outlives it.
func Examine(ctx context.Context, c *config.Config) (lateen.Examination, error) {
	root, err := filepath.Abs(c.Data)
	if err != nil {
		return lateen.Examination{}, fmt.Errorf("find the data directory: %w", err)
	}
	d := doctor{c: c, at: pathsIn(root)}
	walls, err := d.examineWalls()
	if err != nil {
		return lateen.Examination{}, err
	}
	d.unsandboxed()
	d.kernel()
	d.memory()
	d.files()
	d.directory()
	d.disk()
	d.address(ctx)
	d.domain(ctx)
	d.certificate()
	d.runtimes(ctx)
	return lateen.Examination{Walls: walls, Host: d.found}, nil
}

// examineWalls tells which walls stand, and whether they let processes be forked
// into them.
func (d *doctor) examineWalls() ([]lateen.Finding, error) {
	s, err := sandbox.Open(sandbox.Options{Unwalled: true})
	if err != nil {
		return nil, err
	}
	var found []lateen.Finding
	for _, w := range s.Walls() {
		f := lateen.Finding{Name: w.Name, Purpose: w.Stops, Verdict: lateen.Fit}
		if w.Missing != "" {
			f.Verdict, f.Detail, f.Remedy = lateen.Lacking, w.Missing, w.Remedy
			if w.Needed {
				f.Verdict = lateen.Unfit
			}
		}
		found = append(found, f)
	}
	verdict, detail := lateen.Fit, "processes can be forked into sandboxes"
	if why := s.Zygotes(); why != nil {
		verdict, detail = lateen.Lacking, why.Error()
	} else if !d.c.Zygotes {
		verdict, detail = lateen.Lacking, "--zygotes=false"
	}
	d.find("zygotes", "start functions in a few milliseconds where no process waits for them", verdict, detail,
		"start Lateen as root, on a host that permits every layer of the sandbox")
	return found, s.Close()
}

// doctor collects what it finds.
type doctor struct {
	c       *config.Config
	at      paths
	found   []lateen.Finding
	running bool // a platform in this data directory
}

func (d *doctor) find(name, purpose string, v lateen.Verdict, detail, remedy string) {
	if v == lateen.Fit {
		remedy = ""
	}
	d.found = append(d.found, lateen.Finding{Name: name, Purpose: purpose, Verdict: v, Detail: detail, Remedy: remedy})
}

// unsandboxed tells of walls that stand, and are not wanted.
func (d *doctor) unsandboxed() {
	if d.c.Unsandboxed {
		d.find("sandbox", "confines functions", lateen.Unfit, "--unsandboxed: functions run without a sandbox, whatever this host permits", "leave --unsandboxed out, unless you trust every function here as yourself")
	}
}

func (d *doctor) kernel() {
	verdict, detail := judgeKernel()
	d.find("kernel", "makes the sandboxes", verdict, detail, "run Linux 5.14 or newer")
}

func (d *doctor) memory() {
	total := machineMemory()
	if total == 0 {
		return
	}
	verdict := lateen.Fit
	if total < leastMemory {
		verdict = lateen.Lacking
	}
	d.find("memory", "holds instances of functions", verdict,
		fmt.Sprintf("%s, %d CPUs", gigabytes(total), runtime.NumCPU()), "give it 1 GiB or more, and lower --instances and --memory to what is there")
}

// connectionsWithin is how many connections of clients fit a limit of open
// files: each may want another file, and filesOfOwn, or half of a low limit, is
// kept for the listeners, the API, the store and the sockets of functions.
func connectionsWithin(files uint64) int {
	const most = 16384
	return int(min(most, (files-min(filesOfOwn, files/2))/2)) //nolint:gosec // as bounded
}

// maxConnections is how many connections of clients may be open at once.
func maxConnections() int {
	files, ok := openFiles()
	if !ok {
		return 0
	}
	return max(1, connectionsWithin(files))
}

// files looks at how many files may be open. Go has raised the limit as far as
// it may by itself.
func (d *doctor) files() {
	most, ok := openFiles()
	if !ok {
		return
	}
	want := uint64(filesOfOwn + filesPerInstance*max(d.c.Instances, 0)) //nolint:gosec // not negative
	verdict, detail := lateen.Fit, fmt.Sprintf("%d", most)
	if most < want {
		verdict, detail = lateen.Lacking, fmt.Sprintf("%d; %d instances may want %d", most, d.c.Instances, want)
	}
	d.find("open files", "are connections, and sockets to functions", verdict, detail,
		fmt.Sprintf("raise the hard limit: `LimitNOFILE=%d` in the unit of systemd, `ulimit -Hn %d` in a shell of root", want, want))
}

// directory looks whether the data directory can be used, and is.
func (d *doctor) directory() {
	const name, purpose = "data directory", "keeps everything"
	at, err := existing(d.at.root)
	if err == nil && at == d.at.root {
		var holder string
		if holder, d.running = heldBy(d.at.root); d.running {
			d.find(name, purpose, lateen.Fit, fmt.Sprintf("%s, used by the lateen with process id %s", d.at.root, holder), "")
			return
		}
	}
	if err == nil {
		err = writable(at)
	}
	switch {
	case err != nil:
		d.find(name, purpose, lateen.Unfit, err.Error(), errData.Hint)
	case at != d.at.root:
		d.find(name, purpose, lateen.Fit, d.at.root+", which the first start makes", "")
	default:
		d.find(name, purpose, lateen.Fit, d.at.root, "")
	}
}

// existing is the nearest directory to a path, above it, that is there.
func existing(path string) (string, error) {
	for {
		info, err := os.Stat(path)
		switch {
		case err == nil && !info.IsDir():
			return "", fmt.Errorf("%s is no directory", path)
		case err == nil || !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path):
			return path, err
		}
		path = filepath.Dir(path)
	}
}

// writable tries it.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".lateen-doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// disk looks at what the data directory lies on.
func (d *doctor) disk() {
	at, err := existing(d.at.root)
	if err != nil {
		return // as was said of the directory
	}
	kind, free, ok := fileSystem(at)
	if !ok {
		return
	}
	verdict, detail, remedy := lateen.Fit, kind, "put the data directory on a disk of this machine with --data"
	switch kind {
	case "tmpfs", "ramfs":
		verdict, detail = lateen.Lacking, kind+": what is kept there is gone with the next boot"
	case "nfs", "smb", "cifs", "fuse", "9p":
		verdict, detail = lateen.Lacking, kind+": a database on it is slow, and not safe from a crash"
	case "overlay":
		verdict, detail = lateen.Lacking, kind+": the file system of a container, gone with it"
	}
	d.find("file system", "survives a crash", verdict, detail, remedy)
	wanted := int64(d.c.CacheBytes + d.c.LogBytes + 1<<30)
	verdict = lateen.Fit
	switch {
	case free < leastDisk:
		verdict = lateen.Unfit
	case free < wanted:
		verdict = lateen.Lacking
	}
	d.find("free space", "holds deployments, kept responses and logs", verdict, gigabytes(free)+" free",
		fmt.Sprintf("free some, or lower --cache-bytes (%s) and --log-bytes (%s)", d.c.CacheBytes, d.c.LogBytes))
}

func gigabytes(bytes int64) string { return fmt.Sprintf("%.1f GB", float64(bytes)/1e9) }

// address looks whether the address can be listened on.
func (d *doctor) address(ctx context.Context) {
	const name, purpose = "address", "takes requests"
	var l net.ListenConfig
	listener, err := l.Listen(ctx, "tcp", d.c.Listen)
	switch {
	case err == nil:
		_ = listener.Close() // it has served its purpose
		d.find(name, purpose, lateen.Fit, d.c.Listen, "")
	case d.running:
		d.find(name, purpose, lateen.Fit, d.c.Listen+" is taken, as it should be while lateen runs", "")
	case errors.Is(err, fs.ErrPermission):
		d.find(name, purpose, lateen.Unfit, err.Error(), privilegedHint)
	default:
		d.find(name, purpose, lateen.Unfit, err.Error(), errListen.Hint)
	}
}

// domain looks whether hosts beneath the domain lead anywhere.
func (d *doctor) domain(ctx context.Context) {
	const name, purpose = "domain", "leads visitors here"
	if d.c.Domain == "localhost" {
		d.find(name, purpose, lateen.Fit, "localhost, for this machine alone", "")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	host := "lateen-doctor." + d.c.Domain
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		d.find(name, purpose, lateen.Lacking, err.Error(), fmt.Sprintf("point *.%s at this machine, where its name server is", d.c.Domain))
		return
	}
	d.find(name, purpose, lateen.Fit, fmt.Sprintf("*.%s is %s", d.c.Domain, strings.Join(addresses, ", ")), "")
}

func (d *doctor) certificate() {
	if d.c.TLSCert == "" {
		return
	}
	const name, purpose = "certificate", "lets visitors trust this machine"
	pair, err := tls.LoadX509KeyPair(d.c.TLSCert, d.c.TLSKey)
	if err != nil {
		d.find(name, purpose, lateen.Unfit, err.Error(), errCertificate.Hint)
		return
	}
	verdict, detail := lateen.Fit, d.c.TLSCert
	if ends := pair.Leaf.NotAfter; time.Until(ends) < soonExpired {
		verdict, detail = lateen.Lacking, detail+" ends on "+ends.Format(time.DateOnly)
	}
	d.find(name, purpose, verdict, detail, "renew it: what the files hold then is picked up by itself")
}

// runtimes looks at what was fetched, or whether it could be.
func (d *doctor) runtimes(ctx context.Context) {
	const name, purpose = "runtimes", "run functions"
	entries, err := os.ReadDir(d.at.runtimes)
	var fetched []string
	for _, e := range entries {
		if e.IsDir() && strings.Contains(e.Name(), "@") {
			fetched = append(fetched, e.Name())
		}
	}
	if slices.Sort(fetched); len(fetched) > 0 {
		d.find(name, purpose, lateen.Fit, strings.Join(fetched, ", "), "")
		return
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = d.askRegistry(ctx)
	}
	if err != nil {
		d.find(name, purpose, lateen.Unfit, "none, and none can be fetched: "+err.Error(), "let this machine reach the npm registry, or name another with NPM_CONFIG_REGISTRY")
		return
	}
	d.find(name, purpose, lateen.Fit, "none yet: the first start fetches them from "+d.c.Registry, "")
}

// askRegistry asks the registry for no more than a sign of life.
func (d *doctor) askRegistry(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, d.c.Registry, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
