"""All proxies of a server, by name."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .proxies import Place, Proxy, placed
from .refusals import Refusal, bad


class Collection:
    """The proxies.

    Args:
        seed: of all chance.
    """

    def __init__(self, seed: int) -> None:
        """Begin without any."""
        self._seed = seed
        self.proxies: dict[str, Proxy] = {}

    def __repr__(self) -> str:
        """Show their names."""
        return f"Collection({list(self.proxies)})"

    def named(self, name: str) -> Proxy:
        """Return a proxy.

        Raises:
            Refusal: there is none of that name.
        """
        if name not in self.proxies:
            raise Refusal(404, "proxy not found")
        return self.proxies[name]

    def create(self, body: Mapping[str, Any]) -> Proxy:
        """Make a proxy, which listens if it is enabled.

        Raises:
            Refusal: it is impossible, or there is one of that name.
        """
        place = placed(body)
        if place.name in self.proxies:
            raise Refusal(409, "proxy already exists")
        return self._made(place)

    async def remove(self, name: str) -> None:
        """End a proxy.

        Raises:
            Refusal: there is none of that name.
        """
        await self.named(name).stop()
        del self.proxies[name]

    async def populate(self, bodies: Any) -> list[Proxy]:
        """Make proxies that there are not, and in the place of those that are at other ends.

        Raises:
            Refusal: one is impossible; then none is made.
        """
        if not isinstance(bodies, Sequence) or isinstance(bodies, str):
            raise bad("it is no list of proxies")
        places = []
        for number, body in enumerate(bodies, 1):
            if not isinstance(body, Mapping):
                raise bad(f"proxy {number} is no object")
            try:
                places.append(placed(body))
            except Refusal as refusal:
                raise Refusal(refusal.status, f"{refusal.message} at proxy {number}") from None
        return [await self._there(place) for place in places]

    async def reset(self) -> None:
        """Enable every proxy, and remove every toxic.

        Raises:
            Refusal: one cannot listen.
        """
        for proxy in self.proxies.values():
            await proxy.become(replace(proxy.place, enabled=True))
            for name in list(proxy.toxics):
                proxy.remove(name)

    async def close(self) -> None:
        """End all of them."""
        for name in list(self.proxies):
            await self.remove(name)

    async def _there(self, place: Place) -> Proxy:
        if (known := self.proxies.get(place.name)) is not None:
            if (known.place.listen, known.place.upstream) == (place.listen, place.upstream):
                return known
            await self.remove(place.name)
        return self._made(place)

    def _made(self, place: Place) -> Proxy:
        proxy = Proxy(place, self._seed)
        proxy.start()
        self.proxies[place.name] = proxy
        return proxy
