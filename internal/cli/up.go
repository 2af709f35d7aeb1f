package cli

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/terminal"
)

var errNoPlatform = &lateen.Error{Code: lateen.Invalid, Reason: "no_platform", Message: "this build of lateen has no platform in it"}

func newUpCommand(s *session) *cobra.Command {
	c := &cobra.Command{
		Use:     "up",
		GroupID: command.Platform,
		Short:   "Start the platform on this machine",
		Long: "Starts the platform: API, edge and functions in one process, until it is told to\n" +
			"stop. Everything it keeps is in one directory.\n\n" +
			"The first start makes a team with an owner, writes the owner's token to the file\n" +
			"`token` of that directory, and logs this user in.\n\n" +
			"Sockets that a supervisor passes, as systemd does, are served in place of --listen.\n" +
			"`lateen reload`, or the signal SIGHUP, executes the program anew with them open.\n\n" +
			"Each flag can be given in the environment as well: LATEEN_ and its name in capitals.",
		Example: "lateen up\n" +
			"lateen up --data ./lateen --listen 127.0.0.1:3000\n" +
			"lateen up --domain example.com --listen :443 --tls-cert cert.pem --tls-key key.pem",
		Args: command.Takes(0, 0, ""),
	}
	s.settle(c, s.runUp)
	return c
}

// settle makes run what a command does, with the settings of the platform, for
// each of which it gets a flag.
func (s *session) settle(c *cobra.Command, run func(context.Context, *config.Config) error) {
	settingsFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		settings, err := s.platformSettings(c)
		if err != nil {
			return err
		}
		return run(c.Context(), settings)
	}
}

// settingsFlags gives a command a flag for each setting of the platform, or for
// those that are named.
func settingsFlags(c *cobra.Command, only ...string) {
	defaults := config.Default(func(string) string { return "" })
	for _, k := range defaults.Keys() {
		if len(only) > 0 && !slices.Contains(only, k.Name) {
			continue
		}
		f := c.Flags().VarPF(k.Value, k.Name, "", k.Usage)
		switch {
		case k.Value.Type() == "bool":
			f.NoOptDefVal = "true"
		case k.Name == "data":
			f.DefValue = "/var/lib/lateen for root, ~/.local/share/lateen for others"
		}
	}
}

// platformSettings are the defaults, what the environment says over them, and what the
// command's flags say over that.
func (s *session) platformSettings(c *cobra.Command) (*config.Config, error) {
	settings, err := config.Load(s.Getenv)
	if err != nil {
		return nil, err
	}
	for _, k := range settings.Keys() {
		if f := c.Flags().Lookup(k.Name); f != nil && f.Changed {
			if err := k.Value.Set(f.Value.String()); err != nil {
				return nil, command.ErrUsage.With("--%s does not take %q: %s", k.Name, f.Value, err)
			}
		}
	}
	return settings, nil
}

func (s *session) runUp(ctx context.Context, c *config.Config) error {
	if s.Up == nil {
		return errNoPlatform
	}
	var err error
	if c.Data, err = s.Path(c.Data); err != nil {
		return err
	}
	build := ReadBuild()
	fetching := &fetchView{term: s.Term, log: c.LogFormat == "json"}
	platform, err := s.Up(ctx, UpOptions{
		Config: c, Out: logWriter{s.Term}, Getenv: s.Getenv, Version: build.Version, Progress: fetching.progress,
	})
	if err != nil {
		return err
	}
	token, first := platform.Token()
	api := apiURL(c, platform.Addr())
	if c.LogFormat == "json" {
		s.logInHere(api, token)
		s.logLine("listening", map[string]string{"api": api, "sites": c.SiteURL("<project>." + c.Domain), "data": c.Data, "version": build.Version, "missing": platform.Missing()})
		return platform.Run(ctx)
	}
	s.banner(c, api, first, s.logInHere(api, token), build)
	if missing := platform.Missing(); missing != "" {
		s.Term.Warnf("%s. `lateen doctor` tells why.", capital(missing))
	}
	quiet := context.AfterFunc(ctx, func() {
		s.Term.Linef("\nStopping; requests in flight have %s. Ctrl-C again ends them at once.", plain(c.DrainTimeout.String()))
	})
	defer quiet()
	err = platform.Run(ctx)
	fetching.stop()
	if err == nil {
		s.Term.Linef("Stopped.")
	}
	return err
}

// logLine writes a line in the form of the platform's own log in JSON. Facts that
// are "" are left out.
func (s *session) logLine(message string, facts map[string]string) {
	line := map[string]string{"time": s.Time().Format(time.RFC3339Nano), "level": "INFO", "msg": message}
	for name, fact := range facts {
		if fact != "" {
			line[name] = fact
		}
	}
	s.Term.ErrJSON(line)
}

// apiURL is where the API of a platform answers on this machine.
func apiURL(c *config.Config, addr string) string {
	if _, port, err := net.SplitHostPort(addr); err == nil {
		host, _, err := net.SplitHostPort(c.Listen)
		ip := net.ParseIP(host)
		if err != nil || host == "" || ip != nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		c.Listen = net.JoinHostPort(host, port) // with the port that the system chose, and a host one can reach
	}
	return c.LocalURL()
}

// logInHere logs the user in whom commands on this machine act as, unless they
// are logged in elsewhere. It returns where they are.
func (s *session) logInHere(api, token string) string {
	kept, err := config.ReadClient(config.ClientFile(s.Getenv))
	if err != nil || kept.Token != "" && kept.API != api {
		return kept.API
	}
	if token == "" || kept.Token == token {
		return api
	}
	if _, err := s.Keep(config.Client{API: api, Token: token}); err != nil {
		return "" // a service has no home: whoever needs the token finds it in the data directory
	}
	return api
}

// banner says where everything is and what to do next.
func (s *session) banner(c *config.Config, api string, first bool, loggedInTo string, build Build) {
	version := build.Version
	if version == "dev" && build.Commit != "" {
		version += " " + build.Commit[:min(7, len(build.Commit))]
	}
	token := filepath.Join(c.Data, "token")
	lines := []terminal.Field{
		{"API", terminal.Paint(terminal.Code, api)},
		{"Sites", terminal.Paint(terminal.Code, strings.Replace(c.SiteURL("~."+c.Domain), "~", "<project>", 1))},
		{"Data", c.Data},
	}
	if first {
		lines = append(lines, terminal.Field{"Token", token})
	}
	s.Term.Linef("\n  %s %s %s\n", terminal.Paint(terminal.Code, "◢"), terminal.Paint(terminal.Bold, "lateen"), terminal.Paint(terminal.Dim, version))
	for _, f := range lines {
		s.Term.Linef("  %s  %s", terminal.Pad(terminal.Paint(terminal.Dim, f[0]), 5, false), f[1])
	}
	s.Term.Linef("")
	switch loggedInTo {
	case api:
		s.Term.Linef("  %s  In your app's directory: `lateen link`, `npx vercel build`, `lateen deploy`", terminal.Pad(terminal.Paint(terminal.Dim, "Next"), 5, false))
	case "":
		s.Term.Linef("  %s  `lateen login %s < %s`", terminal.Pad(terminal.Paint(terminal.Dim, "Next"), 5, false), api, token)
	default:
		s.Term.Linef("  %s  Your commands talk to %s. To talk to this:", terminal.Pad(terminal.Paint(terminal.Dim, "Next"), 5, false), loggedInTo)
		s.Term.Linef("         `lateen login %s < %s`", api, token)
	}
	s.Term.Linef("")
}

// logWriter prints the platform's own log without disturbing what is being
// rewritten at the bottom of the terminal.
type logWriter struct{ term *terminal.Term }

// Write implements [io.Writer].
func (w logWriter) Write(b []byte) (int, error) {
	w.term.Log(string(b))
	return len(b), nil
}

// fetchView shows how a runtime is fetched.
type fetchView struct {
	term *terminal.Term
	log  bool // the platform's own log is in JSON, and tells of it: show nothing

	mu   sync.Mutex // guards below
	name string
	live *terminal.Live
}

// progress is told by the platform.
func (v *fetchView) progress(name string, done, total int64) {
	if v.log {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.live == nil || v.name != name {
		v.name, v.live = name, v.term.Live("Fetching "+name)
	}
	note := terminal.Amount(done)
	if total > 0 {
		note += "/" + terminal.Amount(total)
	}
	v.live.Set(done, total, note)
	if total > 0 && done >= total {
		v.live.Finish("Fetched %s, %s", name, terminal.Amount(total))
		v.live = nil
	}
}

func (v *fetchView) stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.live.Stop()
}
