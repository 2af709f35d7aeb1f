package guest

import _ "embed" // for the objects

// native is native/fork.c, built.
//
//go:embed native/fork_amd64
var native []byte

// zygote is native/zygote.c, built.
//
//go:embed native/zygote_amd64
var zygote []byte
