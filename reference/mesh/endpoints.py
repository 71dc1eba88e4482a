"""Endpoints: where a service is, and what is known of its health."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

_URI = str.maketrans({"%": "%25", "?": "%3F", "#": "%23"})
"""Characters that gRPC would not take for a part of the path in a URI."""


class EndpointState(Enum):
    """What is known of an endpoint's health."""

    UNSPECIFIED = "not checked yet"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class ServiceEndpoint:
    """Where a service is; equal to another one whenever each was checked last."""

    name: str
    version: str
    """Empty: unversioned."""
    socket_path: Path | None
    tcp_address: str
    """`host:port`, where it is registered with one."""
    registered: bool
    state: EndpointState
    last_check: float | None = field(compare=False)
    """End of the last check in seconds since the epoch; None before the first one ended."""
    metadata: Mapping[str, str]
    pid: int
    """Process that listens at the socket; 0 when unknown."""

    @property
    def address(self) -> str:
        """Where gRPC connects to: the socket if there is one, else TCP."""
        if self.socket_path is None:
            return self.tcp_address
        return f"unix://{str(self.socket_path).translate(_URI)}"


def judge(
    state: EndpointState, failures: int, *, passed: bool, threshold: int
) -> tuple[EndpointState, int]:
    """Return an endpoint's state after a check, and its failed checks in a row.

    Args:
        state: before the check; the first check decides alone.
        failures: failed checks in a row before it.
        passed: outcome of the check.
        threshold: failed checks in a row that make a healthy endpoint unhealthy.
    """
    if passed:
        return EndpointState.HEALTHY, 0
    failures += 1
    if state is EndpointState.UNSPECIFIED or failures >= threshold:
        return EndpointState.UNHEALTHY, failures
    return state, failures
