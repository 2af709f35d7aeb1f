package guest

import _ "embed" // for native

// native is native/fork.c, built.
//
//go:embed native/fork_arm64
var native []byte
