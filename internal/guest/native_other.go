//go:build !linux || (!amd64 && !arm64)

package guest

// native is empty: native/fork.c is not built for this machine.
var native []byte

// zygote is empty, as native is.
var zygote []byte
