package accept

import "testing"

func FuzzCoding(f *testing.F) {
	for _, seed := range []string{"gzip", "br;q=1.0, gzip;q=0.8, *;q=0.1", "*;q=0", ";;;", "gzip;q=", "gzip;q=NaN", "gzip;q=-1", "identity;q=1", ",,,"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		values := []string{header}
		chosen := Coding(values, "br", "gzip")
		if chosen == "" {
			return
		}
		q := codingQuality(values, chosen)
		other := map[string]string{"br": "gzip", "gzip": "br"}[chosen]
		if !(q > 0 && q <= 1) || codingQuality(values, other) > q {
			t.Errorf("%q gives %s with quality %v", header, chosen, q)
		}
	})
}

func FuzzRange(f *testing.F) {
	for _, seed := range []string{"bytes=0-4", "bytes=-1", "bytes=5-", "bytes=1-2,3-4", "bytes=99999999999999999999-", "bytes = 1 - 2 ", "bytes=--1", "bytes=+1-2", "=", ""} {
		f.Add(seed, int64(10))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			size = -(size + 1)
		}
		part, extent := Range([]string{header}, size)
		if extent == Partial && (part.Start < 0 || part.Length <= 0 || part.Start+part.Length > size) {
			t.Errorf("%q of %d bytes is %+v", header, size, part)
		}
	})
}
