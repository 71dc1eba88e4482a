"""What the suite offers besides judging, as `blackhole-conformance COMMAND`.

Each command is a module that holds `NAME`, the first sentence of its docstring as help,
`declare(parser)`, which adds its arguments, and `run(options)`, which returns the exit status.
"""
