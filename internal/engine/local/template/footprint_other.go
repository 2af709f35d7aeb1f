//go:build !linux

package template

import (
	"errors"

	"github.com/lateen-dev/lateen/internal/guest"
)

// Template processes exist only on Linux.

func footprintOf(int) ([]guest.Range, error) { return nil, errors.ErrUnsupported }

func tmpNearlyFull(int) bool { return false }
