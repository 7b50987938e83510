"""RFC 3261 §17 and RFC 6026: transactions as tables, without I/O; the time is passed in."""
