"""The identity service: DIDs, kept durably, with a stream of their changes."""
