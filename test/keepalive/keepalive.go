// Keepalive replays traces of real arrivals through the keep-alive policy, in
// virtual time, prints its costs beside those of fixed keep-alives, and writes
// docs/keep-alive.md.
//
//	go run ./test/keepalive -traces DIR [-out docs/keep-alive.md]
//
// It fails if the policy does not beat a fixed keep-alive of ten minutes.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

// baseline is the fixed keep-alive that the policy must beat. Traces shorter than twice
// its length are skipped.
const baseline = 10 * time.Minute

func main() {
	err := runCommand(os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "keepalive:", err)
		os.Exit(1)
	}
}

func runCommand(args []string, w io.Writer) error {
	flags := flag.NewFlagSet("keepalive", flag.ContinueOnError)
	dir := flags.String("traces", "", "`directory` of traces, in the formats that Azure published; required")
	out := flags.String("out", "docs/keep-alive.md", "`file` to write, and a picture beside it; empty writes none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" {
		return errors.New("-traces is required; with make: make bench-keepalive TRACES=DIR")
	}
	all, err := traces(*dir)
	if err != nil {
		return err
	}
	var rep report
	var errs []error
	for _, t := range all {
		if t.end < 2*baseline {
			fmt.Fprintf(os.Stderr, "keepalive: %s is skipped: it lasts %s\n", t.name, t.end)
			continue
		}
		errs = append(errs, rep.measure(t))
	}
	if len(rep.Studies) == 0 {
		return fmt.Errorf("no trace below %s lasts %s", *dir, 2*baseline)
	}
	rep.print(w)
	if *out != "" {
		errs = append(errs, rep.write(*out))
	}
	return errors.Join(errs...)
}
