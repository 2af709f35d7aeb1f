package daemon

import "testing"

func TestALowLimitOfOpenFilesLeavesAReserve(t *testing.T) {
	for files, want := range map[uint64]int{
		0: 0, 256: 64, 1024: 256, 4096: 1536, 20_000: 9488, 1 << 20: 16384,
	} {
		if got := connectionsWithin(files); got != want {
			t.Errorf("%d open files leave %d connections, want %d", files, got, want)
		}
	}
}
