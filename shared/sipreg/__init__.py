"""sipreg: a horizontally clustered SIP registrar; this package is its core, which every service calls as a library."""
