// Package inner creates a sandbox's network device from inside its network namespace.
// The process that builds sandboxes imports it, so it imports little: see package
// child.
package inner

const (
	// Name is the device's name.
	Name = "eth0"
	// MTU is the size of the largest packet.
	MTU = 65520
	// Hardware is the link-layer address of the sandbox's end of a pair of devices.
	Hardware = "\x02\x00\x00\x00\x00\x02"
	// GuestBits and Guest6Bits are the lengths of the prefixes of [Guest] and [Guest6].
	GuestBits, Guest6Bits = 30, 126
)

// Guest is the IPv4 address of every sandbox, from a range that the Internet does not
// route (RFC 2544).
func Guest() [4]byte { return [4]byte{198, 18, 0, 2} }

// Guest6 is the IPv6 address of every sandbox, from a unique local network (RFC 4193).
// Programs that sort addresses by RFC 6724 prefer IPv4, since only the IPv4 address
// looks like a global one.
func Guest6() [16]byte {
	return [16]byte{0xfd, 0x6c, 0x61, 0x74, 0x65, 0x65, 0, 0x6e, 15: 2}
}
