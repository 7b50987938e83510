"""Routes: take the request apart, call the service, show the result; no rule lives here."""
