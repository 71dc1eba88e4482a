"""The suite as pytest sees it: its options, its judge, its reports, its fixtures."""

pytest_plugins = [
    "conformance.harness.judge",
    "conformance.harness.reporting",
    "conformance.harness.options",
    "conformance.harness.ending",
    "conformance.harness.fixtures",
    "conformance.harness.fixtures_client",
    "conformance.harness.fixtures_faults",
    "conformance.harness.fixtures_platform",
    "conformance.harness.fixtures_security",
]
