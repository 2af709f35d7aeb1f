package platform

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// Up returns the command `lateen up`.
func Up(with *command.Session, daemon Daemon) *cobra.Command {
	s := &session{Session: with, daemon: daemon}
	c := &cobra.Command{
		Use:     "up",
		GroupID: command.Platform,
		Short:   "Start the platform on this machine",
		Long: "Runs the platform in the foreground: API, edge and functions in one process. All\n" +
			"its data is in one directory. SIGTERM and SIGINT drain requests and stop it.\n\n" +
			"The first start creates a team with an owner, writes the owner's token to the file\n" +
			"`token` in the data directory, and logs this user in.\n\n" +
			"With systemd socket activation, the passed sockets replace --listen. `lateen reload`\n" +
			"or SIGHUP restarts the program without closing the sockets.\n\n" +
			"Each flag can also be set by an environment variable: LATEEN_ and its name in\n" +
			"capitals, as LATEEN_LISTEN.",
		Example: "lateen up\n" +
			"lateen up --data ./lateen --listen 127.0.0.1:3000\n" +
			"lateen up --domain example.com --listen :443 --tls-cert cert.pem --tls-key key.pem",
		Args: command.Takes(0, 0, ""),
	}
	s.settle(c, s.runUp)
	return c
}

func (s *session) runUp(ctx context.Context, c *config.Config) error {
	if s.daemon.Start == nil {
		return errNoPlatform
	}
	var err error
	if c.Data, err = s.Path(c.Data); err != nil {
		return err
	}
	if err := checkData(c.Data); err != nil {
		return err
	}
	build := command.ReadBuild()
	fetching := &fetchView{term: s.Term, log: c.LogFormat == "json"}
	platform, err := s.daemon.Start(ctx, UpOptions{
		Config: c, Out: logWriter{s.Term}, Getenv: s.Getenv, Version: build.Version, Progress: fetching.progress,
	})
	if err != nil {
		return err
	}
	if c.LogFormat == "json" {
		s.logListening(c, platform, build)
		return s.runInJSON(ctx, c, platform)
	}
	if c.Has(config.Edge) {
		token, first := platform.Token()
		api := apiURL(c, platform.Addr())
		s.banner(c, api, first, s.logInHere(api, token), build)
	} else {
		s.Term.Linef("The worker listens on %s.", platform.Addr())
	}
	if missing := platform.Missing(); missing != "" {
		s.Term.Warnf("%s. Show the reasons with `lateen doctor`.", terminal.Capital(missing))
	}
	announced := atEnd(ctx, func() {
		stopping := "Stopping: draining requests for up to " + terminal.TrimDuration(c.DrainTimeout.String()) + "."
		if s.Term.Interactive() {
			stopping = "\n" + stopping + " Press Ctrl-C again to stop at once."
		}
		s.Term.Linef("%s", stopping)
	})
	err = platform.Run(ctx)
	announced()
	fetching.stop()
	if err == nil {
		s.Term.Linef("Stopped.")
	}
	return err
}

// atEnd calls announce when ctx ends, unless the returned function is called first, which
// waits for a call in progress.
func atEnd(ctx context.Context, announce func()) (end func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		announce()
	})
	return func() {
		if !stop() {
			<-done
		}
	}
}

// runInJSON runs a platform whose log is in JSON until ctx ends.
func (s *session) runInJSON(ctx context.Context, c *config.Config, platform Server) error {
	announced := atEnd(ctx, func() {
		s.logLine("stopping: draining requests", map[string]string{"timeout": terminal.TrimDuration(c.DrainTimeout.String())})
	})
	err := platform.Run(ctx)
	announced()
	if err == nil && ctx.Err() != nil {
		s.logLine("stopped", nil)
	}
	return err
}

// logListening logs the addresses of a platform or a worker.
func (s *session) logListening(c *config.Config, platform Server, build command.Build) {
	facts := map[string]string{"data": c.Data, "version": build.Version, "missing": platform.Missing()}
	if c.Has(config.Edge) {
		token, _ := platform.Token()
		facts["api"] = apiURL(c, platform.Addr())
		facts["sites"] = c.SiteURL("<project>." + c.Domain)
		s.logInHere(facts["api"], token)
	} else {
		facts["worker"] = platform.Addr()
	}
	s.logLine("listening", facts)
}

// logLine writes a line in the JSON format of the platform's own log, without facts that
// are "".
func (s *session) logLine(message string, facts map[string]string) {
	line := map[string]string{"time": s.Time().Format(time.RFC3339Nano), "level": "INFO", "msg": message}
	for name, fact := range facts {
		if fact != "" {
			line[name] = fact
		}
	}
	s.Term.ErrJSON(line)
}

// apiURL is the URL of a platform's API on this machine.
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

// logInHere stores the token for later commands of this user, unless they are logged in
// to another platform. It returns the URL of the platform of the stored login.
func (s *session) logInHere(api, token string) string {
	kept, err := config.ReadClient(config.ClientFile(s.Getenv))
	if err != nil || kept.Token != "" && kept.API != api {
		return kept.API
	}
	if token == "" || kept.Token == token {
		return api
	}
	if _, err := s.Keep(config.Client{API: api, Token: token}); err != nil {
		return "" // a service has no home: the token is in the data directory
	}
	return api
}

// banner prints the addresses, the directories and the next command.
func (s *session) banner(c *config.Config, api string, first bool, loggedInTo string, build command.Build) {
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
	if first && c.Domain != "localhost" {
		s.tellRecord(c)
	}
	switch loggedInTo {
	case api:
		s.Term.Linef("  %s  In your app's directory: `lateen link`, `npx vercel build`, `lateen deploy`", terminal.Pad(terminal.Paint(terminal.Dim, "Next"), 5, false))
	case "":
		s.Term.Linef("  %s  `lateen login %s < %s`", terminal.Pad(terminal.Paint(terminal.Dim, "Next"), 5, false), api, token)
	default:
		s.Term.Linef("  %s  You are logged in to %s. Log in to this platform with", terminal.Pad(terminal.Paint(terminal.Dim, "Next"), 5, false), loggedInTo)
		s.Term.Linef("         `lateen login %s < %s`", api, token)
	}
	s.Term.Linef("")
}

// tellRecord names the DNS record that leads to the platform, and the address to use
// until it exists. The certificate of the domain is not valid for that address.
func (s *session) tellRecord(c *config.Config) {
	s.Term.Linef("  %s  Create a record that points *.%s at this machine, if there is none.", terminal.Pad(terminal.Paint(terminal.Dim, "DNS"), 5, false), c.Domain)
	if c.TLSCert == "" {
		s.Term.Linef("         Until then, log in with `lateen login http://%s < %s`", c.Listen, filepath.Join(c.Data, "token"))
	}
}

// logWriter prints the platform's own log above the progress line at the bottom of the
// terminal.
type logWriter struct{ term *terminal.Term }

// Write implements [io.Writer].
func (w logWriter) Write(b []byte) (int, error) {
	w.term.Log(string(b))
	return len(b), nil
}
