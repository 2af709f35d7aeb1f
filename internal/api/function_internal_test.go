package api

import (
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

func TestTheLimitsOfAFunctionAreItsOwnOrThoseOfThePlatform(t *testing.T) {
	platform := FunctionLimits{Memory: 1024, Duration: 5 * time.Minute, MaxDuration: time.Hour}
	for name, c := range map[string]struct {
		limits          FunctionLimits
		function        lateen.Function
		memory, seconds int
	}{
		"neither set":             {platform, lateen.Function{}, 1024, 300},
		"both set":                {platform, lateen.Function{Memory: 256, MaxDuration: 10}, 256, 10},
		"the longest duration":    {platform, lateen.Function{MaxDuration: -1}, 1024, 3600},
		"past the longest":        {platform, lateen.Function{MaxDuration: 7200}, 1024, 3600},
		"a default past longest":  {FunctionLimits{Duration: time.Hour, MaxDuration: time.Minute}, lateen.Function{}, 0, 60},
		"an unknown platform":     {FunctionLimits{}, lateen.Function{}, 0, 0},
		"an unknown longest":      {FunctionLimits{}, lateen.Function{MaxDuration: -1}, 0, 0},
		"set, on an unknown host": {FunctionLimits{}, lateen.Function{Memory: 256, MaxDuration: 10}, 256, 10},
	} {
		if memory, seconds := c.limits.of(&c.function); memory != c.memory || seconds != c.seconds {
			t.Errorf("%s: %d MiB and %d s, want %d and %d", name, memory, seconds, c.memory, c.seconds)
		}
	}
}
