package inspect

import "testing"

func TestGigabyteHoursHaveNoExponent(t *testing.T) {
	for byteSeconds, want := range map[int64]string{
		0: "0.0000", 86_731_479: "0.0000", 3600e9 / 8: "0.1250", 3600e9 * 5 / 2: "2.50", 3600e9 * 12345: "12345",
	} {
		if got := gigabyteHours(byteSeconds); got != want {
			t.Errorf("%d byte-seconds: %s, want %s", byteSeconds, got, want)
		}
	}
}
