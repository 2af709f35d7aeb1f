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
	"github.com/lateen-dev/lateen/internal/store/postgres"
)

const (
	minDisk          = 256 << 20 // free bytes that a start needs
	minMemory        = 1 << 30   // bytes of memory that a platform should have
	filesPerInstance = 64        // descriptors for an instance and the connections to it
	reservedFiles    = 1024      // descriptors for all other uses

	askTimeout  = 5 * time.Second
	soonExpired = 7 * 24 * time.Hour
)

// Examine checks whether a platform with these settings can run on this host, also
// if it already runs. Examine leaves no change behind.
func Examine(ctx context.Context, c *config.Config) (lateen.Examination, error) {
	root, err := filepath.Abs(c.Data)
	if err != nil {
		return lateen.Examination{}, fmt.Errorf("find the data directory: %w", err)
	}
	d := doctor{c: c, at: pathsIn(root)}
	layers, err := d.examineSandbox()
	if err != nil {
		return lateen.Examination{}, err
	}
	d.unsandboxed()
	d.kernel()
	d.memory()
	d.files()
	d.directory()
	d.disk()
	if c.Has(config.Edge) { // a worker uses none of these
		d.database(ctx)
		d.address(ctx)
		d.domain(ctx)
		d.certificate()
	}
	d.runtimes(ctx)
	return lateen.Examination{Layers: layers, Host: d.found}, nil
}

// examineSandbox checks which sandbox layers the host permits, and whether processes
// can be forked into sandboxes.
func (d *doctor) examineSandbox() ([]lateen.Finding, error) {
	s, err := sandbox.Open(sandbox.Options{Unsandboxed: true})
	if err != nil {
		return nil, err
	}
	var found []lateen.Finding
	for _, w := range s.Layers() {
		f := lateen.Finding{Name: w.Name, Purpose: w.Prevents, Verdict: lateen.Fit}
		if w.Missing != "" {
			f.Verdict, f.Detail, f.Remedy = lateen.Lacking, w.Missing, w.Remedy
			if w.Required {
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
	d.find("zygotes", "start functions in a few milliseconds when the pool is empty", verdict, detail,
		"start Lateen as root, on a host that permits every layer of the sandbox")
	return found, s.Close()
}

// doctor collects the findings of the checks.
type doctor struct {
	c       *config.Config
	at      paths
	found   []lateen.Finding
	running bool // whether a platform runs in this data directory
}

func (d *doctor) find(name, purpose string, v lateen.Verdict, detail, remedy string) {
	if v == lateen.Fit {
		remedy = ""
	}
	d.found = append(d.found, lateen.Finding{Name: name, Purpose: purpose, Verdict: v, Detail: detail, Remedy: remedy})
}

// unsandboxed warns if the settings disable the sandbox.
func (d *doctor) unsandboxed() {
	if d.c.Unsandboxed {
		d.find("sandbox", "confines functions", lateen.Unfit, "--unsandboxed: functions run without a sandbox", "remove --unsandboxed, unless you trust the code of every function")
	}
}

func (d *doctor) kernel() {
	verdict, detail := judgeKernel()
	d.find("kernel", "provides the sandbox", verdict, detail, "run Linux 5.14 or newer")
}

func (d *doctor) memory() {
	total := machineMemory()
	if total == 0 {
		return
	}
	verdict := lateen.Fit
	if total < minMemory {
		verdict = lateen.Lacking
	}
	d.find("memory", "holds function instances", verdict,
		fmt.Sprintf("%s, %d CPUs", gigabytes(total), runtime.NumCPU()), "give the machine 1 GiB or more, and lower --instances and --memory to fit")
}

// connectionsWithin returns the number of client connections that fit a limit of
// open files. Each connection may need one more file. reservedFiles, or half of a low
// limit, is reserved for the listeners, the API, the store and the sockets of
// functions.
func connectionsWithin(files uint64) int {
	const most = 16384
	return int(min(most, (files-min(reservedFiles, files/2))/2)) //nolint:gosec // as bounded
}

// maxConnections returns the number of client connections that may be open at once,
// or 0 if the limit of open files is unknown.
func maxConnections() int {
	files, ok := openFiles()
	if !ok {
		return 0
	}
	return max(1, connectionsWithin(files))
}

// files checks the limit of open files. The Go runtime has already raised the soft
// limit to the hard one.
func (d *doctor) files() {
	most, ok := openFiles()
	if !ok {
		return
	}
	want := uint64(reservedFiles + filesPerInstance*max(d.c.Instances, 0)) //nolint:gosec // not negative
	verdict, detail := lateen.Fit, fmt.Sprintf("%d", most)
	if most < want {
		verdict, detail = lateen.Lacking, fmt.Sprintf("%d; %d instances may need %d", most, d.c.Instances, want)
	}
	d.find("open files", "limit connections and sockets to functions", verdict, detail,
		fmt.Sprintf("raise the hard limit: `LimitNOFILE=%d` in the systemd unit, or `ulimit -Hn %d` in a root shell", want, want))
}

// directory checks whether the data directory is usable, and whether a platform uses
// it.
func (d *doctor) directory() {
	const name, purpose = "data directory", "holds all data of the platform"
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
		d.find(name, purpose, lateen.Fit, d.at.root+", which the first start creates", "")
	default:
		d.find(name, purpose, lateen.Fit, d.at.root, "")
	}
}

// existing returns path, or its nearest parent directory that exists.
func existing(path string) (string, error) {
	for {
		info, err := os.Stat(path)
		switch {
		case err == nil && !info.IsDir():
			return "", fmt.Errorf("%s is not a directory", path)
		case err == nil || !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path):
			return path, err
		}
		path = filepath.Dir(path)
	}
}

// writable checks by a temporary file that dir is writable.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".lateen-doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// disk checks the file system of the data directory.
func (d *doctor) disk() {
	at, err := existing(d.at.root)
	if err != nil {
		return // the check of the directory has reported it
	}
	kind, free, ok := fileSystem(at)
	if !ok {
		return
	}
	verdict, detail, remedy := lateen.Fit, kind, "put the data directory on a disk of this machine with --data"
	switch kind {
	case "tmpfs", "ramfs":
		verdict, detail = lateen.Lacking, kind+": its files are lost at the next boot"
	case "nfs", "smb", "cifs", "fuse", "9p":
		verdict, detail = lateen.Lacking, kind+": slow for a database, and unsafe at a crash"
	case "overlay":
		verdict, detail = lateen.Lacking, kind+": the file system of a container, lost with the container"
	}
	d.find("file system", "survives a crash", verdict, detail, remedy)
	wanted := int64(d.c.CacheBytes + d.c.LogBytes + 1<<30)
	verdict = lateen.Fit
	switch {
	case free < minDisk:
		verdict = lateen.Unfit
	case free < wanted:
		verdict = lateen.Lacking
	}
	d.find("free space", "holds deployments, cached pages and logs", verdict, gigabytes(free)+" free",
		fmt.Sprintf("free disk space, or lower --cache-bytes (%s) and --log-bytes (%s)", d.c.CacheBytes, d.c.LogBytes))
}

func gigabytes(bytes int64) string { return fmt.Sprintf("%.1f GB", float64(bytes)/1e9) }

// database checks whether the database of --database answers.
func (d *doctor) database(ctx context.Context) {
	if d.c.Database == "" {
		return
	}
	const name, purpose = "database", "holds projects, deployments and variables"
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	db, err := postgres.View(ctx, d.c.Database)
	if err != nil {
		d.find(name, purpose, lateen.Unfit, err.Error(), errDatabase.Hint)
		return
	}
	_ = db.Close() // an error here does not affect the result
	d.find(name, purpose, lateen.Fit, "the PostgreSQL server of --database answers", "")
}

// address checks whether the platform can listen on the address.
func (d *doctor) address(ctx context.Context) {
	const name, purpose = "address", "takes requests"
	var l net.ListenConfig
	listener, err := l.Listen(ctx, "tcp", d.c.Listen)
	switch {
	case err == nil:
		_ = listener.Close() // an error here does not affect the result
		d.find(name, purpose, lateen.Fit, d.c.Listen, "")
	case d.running:
		d.find(name, purpose, lateen.Fit, d.c.Listen+" is in use by the running platform", "")
	case errors.Is(err, fs.ErrPermission):
		d.find(name, purpose, lateen.Unfit, fmt.Sprintf("%s: %s", d.c.Listen, causeOf(err)), privilegedHint)
	default:
		d.find(name, purpose, lateen.Unfit, fmt.Sprintf("%s: %s", d.c.Listen, causeOf(err)), errListen.Hint)
	}
}

// domain checks whether a host below the domain resolves.
func (d *doctor) domain(ctx context.Context) {
	const name, purpose = "domain", "leads clients to this machine"
	if d.c.Domain == "localhost" {
		d.find(name, purpose, lateen.Fit, "localhost, which is reachable from this machine only", "")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	host := "lateen-doctor." + d.c.Domain
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		d.find(name, purpose, lateen.Lacking, err.Error(), fmt.Sprintf("point *.%s at this machine in the DNS zone of the domain", d.c.Domain))
		return
	}
	d.find(name, purpose, lateen.Fit, fmt.Sprintf("*.%s is %s", d.c.Domain, strings.Join(addresses, ", ")), "")
}

func (d *doctor) certificate() {
	if d.c.TLSCert == "" {
		return
	}
	const name, purpose = "certificate", "lets clients authenticate this machine"
	pair, err := tls.LoadX509KeyPair(d.c.TLSCert, d.c.TLSKey)
	if err != nil {
		d.find(name, purpose, lateen.Unfit, err.Error(), errCertificate.Hint)
		return
	}
	verdict, detail := lateen.Fit, d.c.TLSCert
	if ends := pair.Leaf.NotAfter; time.Until(ends) < soonExpired {
		verdict, detail = lateen.Lacking, detail+" expires on "+ends.Format(time.DateOnly)
	}
	d.find(name, purpose, verdict, detail, "renew it; the platform loads changed files by itself")
}

// runtimes checks for fetched runtimes, or whether the registry that has them is
// reachable.
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
		d.find(name, purpose, lateen.Unfit, "no runtime is there, and none can be fetched: "+err.Error(), "let this machine reach the npm registry, or name another with NPM_CONFIG_REGISTRY")
		return
	}
	d.find(name, purpose, lateen.Fit, "none yet; the first start fetches them from "+d.c.Registry, "")
}

// askRegistry checks whether the registry answers a request at all.
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
