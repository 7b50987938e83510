"""The `sipreg` command: every role and tool of the product under one name."""
