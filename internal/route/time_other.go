//go:build !linux

package route

import "time"

// threadTime returns the time that has passed: what a thread has used of a
// processor is not to be had on all systems.
func threadTime() time.Duration { return time.Duration(time.Now().UnixNano()) }
