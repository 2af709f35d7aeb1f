package instance

import "testing"

func TestSampleRequestsAreGuessedByName(t *testing.T) {
	for name, want := range map[string]string{
		"index": "/", "dynamic": "/dynamic", "api/hello": "/api/hello", "/about/index": "/about", "__fallback": "/", "_render": "/", "posts/[id]": "/",
	} {
		if got := GuessSample(name).path; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
