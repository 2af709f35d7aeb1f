// Package secret seals what must not be readable at rest, and makes and
// hashes tokens.
package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"

	"github.com/lateen-dev/lateen"
)

// Keeper seals values with keys of its own. Its methods may be called
// concurrently.
type Keeper interface {
	// Seal encrypts plaintext and binds it to context: the name of the place it
	// is for, which is not secret. Two seals of one value differ.
	Seal(plaintext, context []byte) ([]byte, error)
	// Open returns what Seal was given. Errors: [ErrSealed] if sealed was cut
	// or changed or was made for another context, [ErrKeyMissing] if the key it
	// was sealed with is not here.
	Open(sealed, context []byte) ([]byte, error)
}

// Errors of a [Keeper].
var (
	ErrSealed     = &lateen.Error{Code: lateen.Internal, Reason: "sealed_value_damaged", Message: "a sealed value is damaged or belongs elsewhere", Hint: "restore the database and the key file from the same backup"}
	ErrKeyMissing = &lateen.Error{Code: lateen.Internal, Reason: "sealing_key_missing", Message: "the key that a value is sealed with is not in the key file", Hint: "restore the key file of this data directory"}
)

const (
	tokenPrefix   = "ltn_"
	tokenLength   = 40
	tokenAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

// NewToken returns the secret of a new token, "ltn_" and 40 letters and digits
// (238 bits), and the hash to keep of it.
func NewToken() (secret, hash string) {
	token := make([]byte, 0, len(tokenPrefix)+tokenLength)
	token = append(token, tokenPrefix...)
	for len(token) < cap(token) {
		var chance [tokenLength]byte
		_, _ = rand.Read(chance[:]) // never fails
		for _, b := range chance {
			// The 62 characters fit four times into a byte; the rest would favour some.
			if b < 4*byte(len(tokenAlphabet)) && len(token) < cap(token) {
				token = append(token, tokenAlphabet[int(b)%len(tokenAlphabet)])
			}
		}
	}
	return string(token), HashToken(string(token))
}

// HashToken returns the hash under which a token is looked up: hex SHA-256. A
// token has so much chance in it that a fast hash cannot be searched, and a
// lookup by hash tells nothing about the secret by its timing.
func HashToken(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
