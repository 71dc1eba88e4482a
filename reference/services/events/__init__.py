"""The events service: what is published, to everyone who has subscribed to its type."""
