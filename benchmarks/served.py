"""What is measured, running: an implementation's services, and the floors."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from conformance.harness.addresses import Address, UnixAddress
from conformance.harness.identity import Identity
from conformance.harness.implementation import Implementation
from conformance.harness.nodes import Node
from conformance.harness.orchestrator import Orchestrator
from conformance.harness.remote import Settings, suite_pki, tls_settings
from conformance.harness.service import ServedProcess

from .arms import AGAIN, IMPLEMENTATION, TLS, UNIX, Floors
from .placement import Placement

START_TIMEOUT = 30.0
"""Seconds for what is measured to become ready."""

PROFILES = {
    "identity": "service",
    "events": "platform",
    "ledger": "platform",
    "storage": "platform",
}
"""What an implementation claims that has a service."""

STOP = 5.0
"""Seconds for the floors to end after SIGTERM; they have nothing to finish."""


class Served:
    """A running service, and where it is called, by arm."""

    def __init__(self, service: ServedProcess, addresses: Mapping[str, Address]) -> None:
        """Take a service that is ready."""
        self.service = service
        self.addresses = addresses

    def has(self, arm: str) -> None:
        """Do not run the test where the implementation does not listen as the arm says."""
        if arm in IMPLEMENTATION and arm not in self.addresses:
            pytest.skip("NOT RUN: the implementation does not claim remote")


class MeasuredNode:
    """A node whose processes run on the CPUs that do not measure."""

    def __init__(self, implementation: Implementation, workdir: Path, placement: Placement) -> None:
        """Make its directories; nothing is started."""
        self.implementation = implementation
        self._workdir = workdir
        self._remote = "remote" in implementation.profiles
        transport = "tcp" if self._remote else "unix"
        self.node = Node(implementation, workdir, START_TIMEOUT, transport)
        self._placement = placement

    async def served(self, kind: type[ServedProcess], **how: Any) -> Served:
        """Start a service; the test is not run where none is claimed.

        Args:
            kind: which.
            how: as Node.serve takes it.
        """
        if (profile := PROFILES[kind.NAME]) not in self.implementation.profiles:
            pytest.skip(f"NOT RUN: the implementation does not claim {profile}")
        with self._placement.spawning():
            service = await self.node.serve(kind, **how)
        unix = UnixAddress(service.path)
        addresses: dict[str, Address] = {UNIX: unix, AGAIN: unix}
        if self._remote:
            addresses[TLS] = self.node.remotes[kind.NAME].address()
        return Served(service, addresses)

    def is_reference(self) -> None:
        """Do not run a test of the reference's own parts, where something else is measured."""
        if "reference" not in self.implementation.command:
            pytest.skip("NOT RUN: this is about the reference's own parts")

    def beside(self) -> "MeasuredNode":
        """Return another node of the same implementation."""
        return MeasuredNode(self.implementation, self._workdir, self._placement)

    def begin(self) -> Identity:
        """Start the identity service, and wait for nothing."""
        with self._placement.spawning():
            return self.node.begin()

    async def orchestrated(self, settings: Settings) -> Orchestrator:
        """Start the orchestrator with settings changed, and wait until all services run."""
        with self._placement.spawning():
            return await self.node.orchestrate(settings)

    async def close(self) -> None:
        """End whatever runs."""
        await self.node.close()


@contextmanager
def running_floors(
    directory: Path, placement: Placement, env: Mapping[str, str] | None = None
) -> Iterator[Floors]:
    """Run the floors in a process of their own, whose environment has so much more.

    Raises:
        RuntimeError: they did not start.
    """
    server = suite_pki().server()
    assert server.own is not None, "a server shows a certificate"
    tls_settings(directory, server.own, server.trusted)
    command = (sys.executable, "-m", "benchmarks.floors", str(directory))
    with placement.spawning():
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}
        )
    with process:
        assert process.stdout is not None, "its output was asked for"
        try:
            if not (line := process.stdout.readline()):
                raise RuntimeError("the floors did not start")
            yield Floors(directory, json.loads(line), suite_pki().client)
        finally:
            process.terminate()
            process.wait(STOP)
