"""RFC 3261 §7, §19, §20 and §25: bytes to frozen values and back, without I/O; `BadMessage` is the only error."""
