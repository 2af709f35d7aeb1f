package sandbox

import _ "embed"

//go:embed native/keeper_arm64
var keeperObject []byte
