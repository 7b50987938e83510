"""RFC 3261 §10.3: what REGISTER means; values and the time go in, plans and replies come out."""
