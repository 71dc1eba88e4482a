"""The orchestrator: starts, watches, heals, limits and updates the services of a node.

Document: Orchestrator; Process Isolation; Resource Limits; PID Tracking; Rolling Updates.

A `Supervisor` has one `Unit` a service. A unit's life is one table (`lifecycle`); its process is a
`Child`, in a group of its own and with its limits set before it begins (`launcher`). The `keeper`
is a process that ends all groups when the orchestrator is gone, whatever ended it.
"""
