"""The registrar's HTTP API: the same core, for other SIP servers, for operators and for programs."""
