"""Chapter 21: tokens of monstrous size, and in monstrous number (AUTH-2)."""

from blackhole.identity.v1 import identity_pb2 as pb

from .harness.calls import Metadata
from .harness.judging import expect
from .harness.security import Secured
from .harness.tokens import bearer, signed

REFUSED = ("RESOURCE_EXHAUSTED", "UNAUTHENTICATED", "UNAVAILABLE")
"""Codes that a caller may see whose token is beyond all limits: that of too much metadata (ERR-5),
that of a wrong token, or that of a connection which was ended."""


async def test_auth_2_monstrous_tokens_let_nobody_in(secured: Secured) -> None:
    """AUTH-2: Right tokens of monstrous size, or among many, let nobody in and harm nobody."""
    many = {f"claim{number}": number for number in range(10_000)}
    control = await _ended(secured, bearer(_token(secured)))
    expect(control, equals="OK", what="CreateDID with the control")
    monsters = {
        "1 MiB": bearer(_token(secured, padding="x" * (3 << 18))),
        "10,000 claims": bearer(_token(secured, **many)),
        "one among 100": bearer(*["x"] * 99, _token(secured)),
    }

    async with secured.service.unchanged():
        ends = {case: await _ended(secured, entries) for case, entries in monsters.items()}

    for case, end in ends.items():
        expect(end, one_of=REFUSED, what=f"CreateDID, {case}")


def _token(secured: Secured, **claims: str | int) -> str:
    """Return a right token with claims that nobody asked for."""
    issuer = secured.issuer
    return signed(issuer.header(), issuer.claims(**claims), issuer.keys[0])


async def _ended(secured: Secured, metadata: Metadata) -> str:
    """Create a DID with metadata of its own; return the code of the answer."""
    request = pb.CreateDIDRequest(method="key")
    # Each on a connection of its own: a service may end the one that brought such a thing.
    channel = secured.service.connect(metadata=metadata)
    return (await secured.service.call_on(channel, "CreateDID", request)).code
