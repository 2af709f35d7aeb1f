package sandbox

import _ "embed"

//go:embed native/keeper_amd64
var keeperObject []byte
