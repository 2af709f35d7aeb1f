//go:build !linux || (!amd64 && !arm64)

package guest

// native is nothing: there is no object of native/fork.c for this machine.
var native []byte

// zygote is nothing, as native is.
var zygote []byte
