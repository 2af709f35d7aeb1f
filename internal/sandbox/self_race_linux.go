//go:build race

package sandbox

import "os"

// self is the program that builds the walls of a process. Tests name the program without
// the race detector: one with it takes ten times as long to begin.
var self = plain()

func plain() string {
	name := os.Getenv("LATEEN_TEST_PROGRAM")
	if f, err := os.Open(name); err == nil {
		_ = f.Close() // it is only read
		return name
	}
	return "/proc/self/exe"
}
