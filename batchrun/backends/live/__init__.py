"""A responder that asks a server, one request after the other: how fast it asks, and what each outcome means for its line."""
