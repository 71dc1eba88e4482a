"""The reference implementation of the Blackhole RPC architecture: `python -m reference`."""
