"""A whole node to try things with: one command, and nothing to configure.

`python -m reference example --dir DIR` mints certificates and tokens below DIR, writes a
configuration, says how the services are called, and becomes the node's orchestrator. `hello` is a
program that calls them.
"""
