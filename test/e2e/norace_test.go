//go:build e2e && !race

package e2e_test

// race reports whether the tests were built with the race detector.
const race = false
