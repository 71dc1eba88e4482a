"""The conformance suite of the Blackhole RPC architecture: `pytest conformance/ --impl=NAME`."""
