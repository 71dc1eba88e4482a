"""An embedded fault proxy: Toxiproxy's HTTP API and toxics, on TCP and on Unix sockets.

`python -m conformance.harness.faults` runs it as a process of its own. What it does follows
Toxiproxy 2.12 (https://github.com/Shopify/toxiproxy, MIT), from which the arithmetic of `slicer`
and `bandwidth` is taken. It differs on purpose where Toxiproxy ends its process, blocks its API
or knows no Unix sockets; each place says so.
"""
