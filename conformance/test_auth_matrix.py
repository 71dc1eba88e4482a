"""Chapter 21: every method of every service as every role, made from the schema (AUTH-9)."""

from collections.abc import Mapping, Sequence

from grpc_health.v1 import health_pb2

from blackhole.identity.v1 import identity_pb2 as pb

from .harness import reflection
from .harness.calls import Answer, Channel
from .harness.identity import HEALTH, SERVICE
from .harness.judging import attach, did, expect
from .harness.nodes import Node
from .harness.security import ADMIN, Secured, start_secured

OPEN = frozenset({f"/{HEALTH}/Check", f"/{HEALTH}/Watch", f"/{SERVICE}/Check"})
"""Methods that need no permission."""

MADE_UP = (
    f"/{SERVICE}/NoSuchMethod",
    f"/{SERVICE}Other/Method",
    "/blackhole.identity.v1.Other/Method",
    "/no.such.Service/CreateDID",
)
"""Methods that do not exist, and are refused all the same, however much they resemble others."""

DENIED = ("PERMISSION_DENIED", "insufficient permissions")

ROLES: Mapping[str, Sequence[str]] = {
    ADMIN: ["*"],
    "nothing": [],
    "the-service": [f"/{SERVICE}/*"],
    "no-such-method": [f"/{SERVICE}/NoSuch"],
} | {
    f"only-{method.name}": [f"/{SERVICE}/{method.name}"]
    for method in pb.DESCRIPTOR.services_by_name["IdentityService"].methods
}
"""Roles by what they are granted: one a method of the schema, and wider and narrower ones."""


async def test_auth_9_a_role_is_granted_exactly_its_methods(node: Node) -> None:
    """AUTH-9: Of every method as every role, exactly what the role's patterns match is granted."""
    secured = await start_secured(node, roles=ROLES)
    schema = await reflection.read(secured.service.channel)
    paths = [*_served(schema), *MADE_UP]
    did(f"calls {len(paths)} methods as {len(ROLES)} roles")

    seen = {role: await _granted(secured, role, paths) for role in ROLES}

    wanted = {
        role: {path: path in OPEN or _matches(path, patterns) for path in paths}
        for role, patterns in ROLES.items()
    }
    attach("matrix.txt", _drawn(seen, wanted))
    expect(
        _differing(seen, wanted),
        equals=[],
        what="(role, method, granted) that the role table says otherwise",
    )
    await secured.service.lives()


def _served(schema: reflection.Schema) -> list[str]:
    return sorted(
        f"/{file.package}.{service.name}/{method.name}"
        for file in schema.files.values()
        for service in file.service
        if f"{file.package}.{service.name}" in schema.services
        for method in service.method
    )


def _matches(path: str, patterns: Sequence[str]) -> bool:
    """Tell whether a pattern matches, as CONFORMANCE.md, "Tokens", has it."""
    service = path.rpartition("/")[0]
    return any(pattern in (path, f"{service}/*", "*") for pattern in patterns)


async def _granted(secured: Secured, role: str, paths: Sequence[str]) -> dict[str, bool]:
    """Call every method with an empty message; return what was not refused for the role's sake."""
    channel = secured.caller(role=role)
    return {path: await _passes(channel, path) for path in paths}


async def _passes(channel: Channel, path: str) -> bool:
    async def barrier() -> Answer:
        return await channel.unary(f"/{HEALTH}/Check", health_pb2.HealthCheckRequest(), None)

    (answer,) = await channel.judged(path, [b""], barrier)
    refused = (answer.code, answer.message)
    expect(
        answer.code == "UNAUTHENTICATED" or (answer.code == DENIED[0] and refused != DENIED),
        equals=False,
        what=f"whether {path} is refused in another way than {DENIED}",
    )
    return refused != DENIED


def _differing(
    seen: Mapping[str, Mapping[str, bool]], wanted: Mapping[str, Mapping[str, bool]]
) -> list[tuple[str, str, bool]]:
    return [
        (role, path, granted)
        for role, row in seen.items()
        for path, granted in row.items()
        if granted != wanted[role][path]
    ]


def _drawn(seen: Mapping[str, Mapping[str, bool]], wanted: Mapping[str, Mapping[str, bool]]) -> str:
    """Draw the matrix: + granted, . refused, ! not as the role table says."""
    lines = [f"{number:>2} {path}" for number, path in enumerate(next(iter(seen.values())))]
    for role, row in seen.items():
        marks = (
            "!" if granted != wanted[role][path] else "+" if granted else "."
            for path, granted in row.items()
        )
        lines.append(f"{role:<24} {' '.join(marks)}")
    return "\n".join(lines)
