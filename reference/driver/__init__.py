"""The driver: the client role, remote-controlled by the suite."""
