"""The registrar's ports made real: Redis, memory, and an embedded server of our own."""
