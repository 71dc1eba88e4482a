"""ProcessDiscovery: from the name of a service to an address (document: Process Discovery)."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from ..config.client import SERVICE_NAME
from .directory import listener
from .errors import InvalidArgumentError, NotFoundError, UnavailableError, Violation
from .registry import EndpointState, ServiceEndpoint, ServiceRegistry
from .versions import SHOWN, choose, order

TOLD = 5
"""Unusable endpoints that a refusal describes: a status has to fit its trailers."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a service is."""

    address: str
    """`unix:///path` or `host:port`."""
    version: str
    """Empty: unversioned."""


class ProcessDiscovery:
    """Finds services in the registry.

    Args:
        registry: knows all endpoints.
    """

    def __init__(self, registry: ServiceRegistry) -> None:
        """Start without any memory: each answer is found anew."""
        self._registry = registry

    def __repr__(self) -> str:
        """Show the registry."""
        return f"ProcessDiscovery({self._registry})"

    @property
    def revision(self) -> int:
        """Another number whenever an answer may be another."""
        return self._registry.revision

    async def discover(self, name: str, version: str = "") -> Resolved:
        """Find a service.

        Without a version: what is registered, else the unversioned socket, else the
        highest version; each only if it can be used. With one: the same version, else
        the highest that is compatible.

        Args:
            name: the service.
            version: semantic version asked for; empty: any.

        Raises:
            InvalidArgumentError: name or version is malformed.
            NotFoundError: there is no such service, or no such version of it.
            UnavailableError: it is there, and cannot be used.
        """
        if not SERVICE_NAME.fullmatch(name):
            raise InvalidArgumentError(Violation("service", f"{name[:SHOWN]!r} is no service name"))
        with suppress(NotFoundError, UnavailableError):
            return await self._resolve(name, version)
        # The registry may not have seen yet what happened in the directory just now.
        await self._registry.rescan()
        return await self._resolve(name, version)

    async def _resolve(self, name: str, version: str) -> Resolved:
        endpoints = self._registry.named(name)
        if version:
            return await self._compatible(name, version, endpoints)
        refusals = []
        for endpoint in preferred(endpoints):
            if not (refusal := await self._refusal(endpoint)):
                return Resolved(endpoint.address, endpoint.version)
            refusals.append(f"{endpoint.address}: {refusal}")
        if not refusals:
            raise NotFoundError(f"there is no service {name!r}")
        if (more := len(refusals) - TOLD) > 0:
            refusals[TOLD:] = [f"and {more} more"]
        raise UnavailableError(f"service {name!r} cannot be used: {'; '.join(refusals)}")

    async def _compatible(
        self, name: str, version: str, endpoints: Sequence[ServiceEndpoint]
    ) -> Resolved:
        there = {endpoint.version for endpoint in endpoints if endpoint.version}
        while chosen := choose(version, there):
            if found := await self._usable(endpoints, chosen):
                return Resolved(found.address, chosen)
            there.discard(chosen)
        usable = [each for each in sorted(there, key=order) if await self._usable(endpoints, each)]
        raise NotFoundError(
            f"service {name!r} has no version that serves {version}:"
            f" there are {', '.join(usable) or 'none'}"
        )

    async def _usable(
        self, endpoints: Sequence[ServiceEndpoint], version: str
    ) -> ServiceEndpoint | None:
        for endpoint in endpoints:
            if endpoint.version == version and not await self._refusal(endpoint):
                return endpoint
        return None

    async def _refusal(self, endpoint: ServiceEndpoint) -> str:
        """Return why an endpoint cannot be used; empty when it can."""
        state = endpoint.state
        if endpoint.registered:
            state = (await self._registry.checked(endpoint)).state
            return "" if state is EndpointState.HEALTHY else state.value
        if endpoint.socket_path is None or state is EndpointState.UNHEALTHY:
            return state.value
        try:
            listener(endpoint.socket_path)
        except OSError as error:
            return error.strerror or str(error)
        return ""


def preferred(endpoints: Sequence[ServiceEndpoint]) -> list[ServiceEndpoint]:
    """Return a service's endpoints as they serve who asks for no version, best first."""
    found = [endpoint for endpoint in endpoints if not endpoint.registered]
    return [
        *(endpoint for endpoint in endpoints if endpoint.registered),
        *(endpoint for endpoint in found if not endpoint.version),
        *(endpoint for endpoint in reversed(found) if endpoint.version),
    ]
