package platform

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen/internal/atomicfile"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// Debug returns the command `lateen debug`.
func Debug(with *command.Session) *cobra.Command {
	s := &session{Session: with}
	c := &cobra.Command{
		Use:     "debug",
		GroupID: command.Platform,
		Short:   "Collect profiles and debug bundles",
		Long: "Collects the state of a running platform's process. It needs a token with the scope\n" +
			"full of an owner of the platform's first team.",
		Example: "lateen debug bundle\nlateen debug profile heap",
	}
	command.Family(c)
	command.Adopt(c, newDebugBundleCommand(s), newDebugProfileCommand(s))
	return c
}

func newDebugBundleCommand(s *session) *cobra.Command {
	file := ""
	c := &cobra.Command{
		Use:   "bundle",
		Short: "Write a debug bundle, to attach to a bug report",
		Long: "Writes a .tar.gz with the version, the result of `lateen doctor`, the settings, the\n" +
			"metrics, the last lines of the log, the stacks of all goroutines, a heap profile and\n" +
			"a summary of the platform, and the same of its worker if it has one. Secrets are left\n" +
			"out; the log lines name hosts, paths and projects.",
		Example: "lateen debug bundle\nlateen debug bundle -o - | tar -tz",
		Args:    command.Takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				file = "lateen-debug-" + s.Time().UTC().Format("20060102-150405") + ".tar.gz"
			}
			return s.download(c.Context(), file, func(ctx context.Context, w io.Writer) error {
				api, err := s.Client()
				if err != nil {
					return err
				}
				return api.DebugBundle(ctx, w)
			})
		},
	}
	c.Flags().StringVarP(&file, "output", "o", "", "`file` to write; - is standard output (default: lateen-debug-TIME.tar.gz)")
	return c
}

func newDebugProfileCommand(s *session) *cobra.Command {
	file, seconds := "", 0
	c := &cobra.Command{
		Use:   "profile [name]",
		Short: "Write a profile of the platform",
		Long: "Writes a profile for `go tool pprof`: cpu (the default), heap, allocs, goroutine,\n" +
			"threadcreate, block or mutex; or a trace for `go tool trace`.",
		Example: "lateen debug profile --seconds 10\nlateen debug profile heap -o heap.pprof && go tool pprof heap.pprof",
		Args:    command.Takes(0, 1, ""),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return strings.Fields("cpu heap allocs goroutine threadcreate block mutex trace"), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			name := "cpu"
			if len(args) > 0 {
				name = args[0]
			}
			if file == "" {
				file = filepath.Base(name) + ".pprof"
			}
			if name == "cpu" {
				name = "profile"
			}
			return s.download(c.Context(), file, func(ctx context.Context, w io.Writer) error {
				api, err := s.Client()
				if err != nil {
					return err
				}
				return api.Profile(ctx, name, seconds, w)
			})
		},
	}
	c.Flags().StringVarP(&file, "output", "o", "", "`file` to write; - is standard output (default: NAME.pprof)")
	c.Flags().IntVar(&seconds, "seconds", 0, "length of the profile, 1 to 60 (default: 30 for cpu, trace, block and mutex)")
	return c
}

// download writes the bytes that get writes to a file that only this user can read, or
// to standard output.
func (s *session) download(ctx context.Context, file string, get func(context.Context, io.Writer) error) error {
	if file == "-" {
		return get(ctx, s.Stdout())
	}
	name, err := s.Path(file)
	if err != nil {
		return err
	}
	var content bytes.Buffer
	if err := get(ctx, &content); err != nil {
		return err
	}
	if err := atomicfile.Write(name, content.Bytes(), 0o600); err != nil {
		return err
	}
	if s.Flags.JSON {
		return s.Term.JSON(map[string]any{"file": name, "bytes": content.Len()})
	}
	s.Term.Donef("Wrote %s, %s", file, terminal.Amount(int64(content.Len())))
	return nil
}
