package daemon

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen"
)

// judgeKernel checks the kernel's version: the protection of mounts needs system
// calls of Linux 5.12.
func judgeKernel() (lateen.Verdict, string) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return lateen.Lacking, err.Error()
	}
	release := unix.ByteSliceToString(name.Release[:])
	return judgeRelease(release), "Linux " + release
}

func judgeRelease(release string) lateen.Verdict {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return lateen.Lacking
	}
	switch at := major*1000 + minor; {
	case at < 5012:
		return lateen.Unfit
	case at < 5014:
		return lateen.Lacking
	}
	return lateen.Fit
}

// fileSystem returns the kind of the file system of a directory, and the bytes that
// are free on it for this user.
func fileSystem(dir string) (kind string, free int64, ok bool) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return "", 0, false
	}
	names := map[int64]string{
		unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.F2FS_SUPER_MAGIC: "f2fs", 0x2fc12fc1: "zfs",
		unix.TMPFS_MAGIC: "tmpfs", unix.RAMFS_MAGIC: "ramfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay",
		unix.NFS_SUPER_MAGIC: "nfs", unix.SMB_SUPER_MAGIC: "smb", unix.CIFS_SUPER_MAGIC: "cifs", unix.SMB2_SUPER_MAGIC: "smb", unix.FUSE_SUPER_MAGIC: "fuse", unix.V9FS_MAGIC: "9p",
	}
	kind, known := names[stat.Type]
	if !known {
		kind = fmt.Sprintf("type %#x", stat.Type)
	}
	return kind, int64(stat.Bavail) * stat.Bsize, true //nolint:gosec // far below the bounds of int64
}
