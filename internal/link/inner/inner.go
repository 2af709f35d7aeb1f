// Package inner makes a sandbox's network device, in the network namespace that
// it is the device of. The process that builds walls imports it, so it imports
// little: see package child.
package inner

const (
	// Name is the device's name.
	Name = "eth0"
	// MTU is the size of the largest packet.
	MTU = 65520
	// Hardware is the address of the near end of a pair of devices.
	Hardware = "\x02\x00\x00\x00\x00\x02"
	// GuestBits and Guest6Bits are the lengths of the prefixes of [Guest] and [Guest6].
	GuestBits, Guest6Bits = 30, 126
)

// Guest is the IPv4 address of every sandbox, of a network that leads nowhere (RFC 2544).
func Guest() [4]byte { return [4]byte{198, 18, 0, 2} }

// Guest6 is the IPv6 address of every sandbox, of a unique local network (RFC 4193).
// As only IPv4's address looks like one that reaches the Internet, programs that
// sort addresses by RFC 6724 prefer IPv4.
func Guest6() [16]byte {
	return [16]byte{0xfd, 0x6c, 0x61, 0x74, 0x65, 0x65, 0, 0x6e, 15: 2}
}
