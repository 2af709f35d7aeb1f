//go:build !race

package sandbox

// self is the program that builds the walls of a process: this one.
const self = "/proc/self/exe"
