"""The configuration of a process: NodeConfig read, checked whole, and turned into settings."""
