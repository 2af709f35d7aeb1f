package lateen

import (
	"crypto/sha256"
	"encoding/hex"
)

// Digest names content by its SHA-256, as 64 lower-case hex digits. The empty
// Digest names nothing.
type Digest string

// DigestOf returns the digest of b.
func DigestOf(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest(hex.EncodeToString(sum[:]))
}

// Valid reports whether d has the form of a digest; only a valid digest may be part
// of a file name.
func (d Digest) Valid() bool { return isHex(string(d), sha256.Size) }

// SHA1 names content in the upload protocol of the vercel CLI: 40 lower-case hex
// digits. It is trusted only within the team of the upload.
type SHA1 string

// Valid reports whether s has the form of a SHA-1.
func (s SHA1) Valid() bool { return isHex(string(s), 20) }

func isHex(s string, bytes int) bool {
	if len(s) != 2*bytes {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
