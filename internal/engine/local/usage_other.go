//go:build !linux

package local

import "github.com/lateen-dev/lateen/internal/engine"

// usageOf is unknown here.
func usageOf(int) engine.Usage { return engine.Usage{} }
