//go:build !race

package sandbox

// self is the program that builds the layers of a process: this one.
const self = "/proc/self/exe"
