// Package secret seals values that must not be readable at rest, and creates and
// hashes tokens.
package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"

	"github.com/lateen-dev/lateen"
)

// Keeper seals values with its own keys. Its methods are safe for concurrent use.
type Keeper interface {
	// Seal encrypts plaintext and binds it to context, the non-secret name of its
	// place. Two seals of one value differ.
	Seal(plaintext, context []byte) ([]byte, error)
	// Open returns the plaintext of Seal. Errors: [ErrSealed] if sealed is
	// truncated, changed or of another context, [ErrKeyMissing] if the keeper lacks
	// its key.
	Open(sealed, context []byte) ([]byte, error)
}

// Errors of a [Keeper].
var (
	ErrSealed     = &lateen.Error{Code: lateen.Internal, Reason: "sealed_value_damaged", Message: "a sealed value is damaged or of another context", Hint: "restore the database and the key file from the same backup"}
	ErrKeyMissing = &lateen.Error{Code: lateen.Internal, Reason: "sealing_key_missing", Message: "the key of a sealed value is not in the key file", Hint: "restore the key file of this data directory"}
)

const (
	tokenPrefix   = "ltn_"
	tokenLength   = 40
	tokenAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

// NewToken returns the secret of a new token, "ltn_" and 40 letters and digits (238
// bits), and its hash for the store.
func NewToken() (secret, hash string) {
	token := make([]byte, 0, len(tokenPrefix)+tokenLength)
	token = append(token, tokenPrefix...)
	for len(token) < cap(token) {
		var chance [tokenLength]byte
		_, _ = rand.Read(chance[:]) // never fails
		for _, b := range chance {
			// A byte has four times 62 values; the rest is rejected to avoid a bias.
			if b < 4*byte(len(tokenAlphabet)) && len(token) < cap(token) {
				token = append(token, tokenAlphabet[int(b)%len(tokenAlphabet)])
			}
		}
	}
	return string(token), HashToken(string(token))
}

// HashToken returns the hash for the lookup of a token: hex SHA-256. A token is long
// and random enough that a fast hash is safe, and the timing of a lookup by hash
// reveals nothing about the secret.
func HashToken(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
