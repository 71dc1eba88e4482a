"""Drives a fault proxy, Toxiproxy's or the embedded one, by the package toxiproxy-python.

The package (0.1.1, of 2019) works, and is used: its classes and their words, its exceptions. This
module mends what does not, ten things in all:

1. any status from 300 on is an `ApiError` with the server's own sentence, JSON or not;
2. `enable` and `disable` fail where the server does, and tell what the server says;
3. each server has an address of its own, where the package has one for the process;
4. every request ends in time;
5. no HTTP proxy of the environment stands between;
6. a toxic that exists is no proxy that exists, and only a toxic is an invalid one;
7. toxics can be changed, and are removed by leaving a context; proxies can be moved;
8. `populate` is the server's;
9. `down` leaves the proxy as it found it;
10. names are quoted, and what the server answers is what a proxy says of itself.

It is synchronous, as the package is. Who has an event loop calls it in a thread (`proxied`): a
loop that waits for HTTP is late for its timers, and lateness is how the suite tells a host that
stalls.
"""

import threading
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import requests
import toxiproxy
from toxiproxy.toxic import Toxic as PackagesToxic

from .attributes import TYPES
from .errors import (
    ApiError,
    InvalidToxicError,
    NotFoundError,
    ProxyExistsError,
    ToxicExistsError,
    error_of,
)

__all__ = [
    "ApiError",
    "InvalidToxicError",
    "NotFoundError",
    "Proxy",
    "ProxyExistsError",
    "Server",
    "Toxic",
    "ToxicExistsError",
]

TIMEOUT = 5.0
"""Seconds for an answer: a thousand times what one takes."""

REMOVAL_TIMEOUT = 30.0
"""The same for DELETE: Toxiproxy answers it once nothing waits in the toxic any more, and gives up
after 25 s."""

LONGEST_RESET = 5000
"""Milliseconds that `reset_peer` may wait: Toxiproxy cannot be spoken to meanwhile."""


class Server(toxiproxy.Toxiproxy):  # type: ignore[misc]
    """A server of fault proxies.

    Args:
        url: of its API: `http://127.0.0.1:8474`.
    """

    def __init__(self, url: str) -> None:
        """Connect to nobody yet."""
        self.url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False
        # A session of requests is no thread's but its own.
        self._alone = threading.Lock()

    def __repr__(self) -> str:
        """Show where it is."""
        return f"Server({self.url!r})"

    def close(self) -> None:
        """Close the connection to it."""
        self._session.close()

    def ask(self, method: str, *names: str, body: Any = None) -> Any:
        """Send a request, and return the JSON of its answer; None: there is none.

        Args:
            method: of HTTP.
            names: of the path, which are quoted.
            body: sent as JSON.

        Raises:
            ApiError: the server refused, or its answer is none of its own.
            requests.RequestException: nobody answered in time.
        """
        url = "/".join((self.url, *(quote(name, safe="") for name in names)))
        timeout = REMOVAL_TIMEOUT if method == "DELETE" else TIMEOUT
        with self._alone:
            answer = self._session.request(method, url, json=body, timeout=timeout)
        if answer.status_code >= requests.codes.multiple_choices:
            raise error_of(answer)
        if not answer.content:
            return None
        try:
            return answer.json()
        except requests.JSONDecodeError:
            raise ApiError(answer.status_code, f"no JSON: {answer.text[:200]!r}") from None

    def version(self) -> str:
        """Return its version."""
        return str(self.ask("GET", "version")["version"])

    def running(self) -> bool:
        """Tell whether it answers."""
        with suppress(requests.RequestException, ApiError):
            return bool(self.version())
        return False

    @cached_property
    def embedded(self) -> bool:
        """Whether it is the suite's own, which carries Unix sockets too; asked for once."""
        return self.version().endswith("+embedded")

    def proxies(self) -> dict[str, "Proxy"]:
        """Return all proxies by name."""
        return {name: Proxy(self, told) for name, told in self.ask("GET", "proxies").items()}

    def proxy(self, name: str) -> "Proxy":
        """Return a proxy.

        Raises:
            NotFoundError: there is none of that name.
        """
        return Proxy(self, self.ask("GET", "proxies", name))

    def create(
        self,
        upstream: str,
        name: str,
        listen: str | None = None,
        enabled: bool | None = None,  # noqa: FBT001 - as the package has it
        **own: Any,
    ) -> "Proxy":
        """Make a proxy.

        Args:
            upstream: whom it connects to.
            name: of it.
            listen: where; None: a port of 127.0.0.1 that the server chooses.
            enabled: whether it listens; None: it does.
            own: what the embedded proxy alone knows: `unlink`, `mode`, `record`.

        Raises:
            ProxyExistsError: there is one of that name.
            ApiError: it cannot listen there.
        """
        body = {"name": name, "upstream": upstream, "listen": listen or "127.0.0.1:0", **own}
        if enabled is not None:
            body["enabled"] = enabled
        return Proxy(self, self.ask("POST", "proxies", body=body))

    def populate(self, proxies: Sequence[Mapping[str, Any]]) -> list["Proxy"]:
        """Make proxies that there are not; those that there are keep their toxics.

        Raises:
            ApiError: one of them is impossible.
        """
        told = self.ask("POST", "populate", body=[dict(proxy) for proxy in proxies])
        return [Proxy(self, one) for one in told["proxies"]]

    def destroy(self, proxy: "Proxy | str") -> bool:
        """End a proxy, by itself or by name.

        Raises:
            NotFoundError: there is none of that name.
        """
        self.ask("DELETE", "proxies", proxy if isinstance(proxy, str) else proxy.name)
        return True

    def reset(self) -> bool:
        """Enable every proxy, and remove every toxic."""
        self.ask("POST", "reset")
        return True

    def update_api_consumer(self, host: str, port: int) -> None:
        """Turn to another server; others of this process stay where they are."""
        self.__dict__.pop("embedded", None)
        self.url = f"http://{host}:{port}"


class Proxy(toxiproxy.Proxy):  # type: ignore[misc]
    """One proxy, as the server told of it last."""

    def __init__(self, server: Server, told: Mapping[str, Any]) -> None:
        """Take what a server told."""
        self.server = server
        self._take(told)

    def __repr__(self) -> str:
        """Show what it is."""
        state = "" if self.enabled else ", disabled"
        return f"Proxy({self.name!r}, {self.listen} to {self.upstream}{state})"

    def _take(self, told: Mapping[str, Any]) -> None:
        super().__init__(**told)
        self.told = told
        """All of it: what servers tell besides differs."""

    def refresh(self) -> Self:
        """Ask the server again."""
        self._take(self.server.ask("GET", "proxies", self.name))
        return self

    def update(self, **fields: Any) -> Self:
        """Move it, enable it or disable it: `listen`, `upstream`, `enabled`.

        Raises:
            ApiError: it cannot listen there.
        """
        try:
            self._take(self.server.ask("PATCH", "proxies", self.name, body=fields))
        except ApiError:
            # What came of it instead is the server's to say.
            with suppress(ApiError):
                self.refresh()
            raise
        return self

    def enable(self) -> Self:
        """Listen."""
        return self.update(enabled=True)

    def disable(self, **own: Any) -> Self:
        """Listen no more, and drop every connection; `unlink=False` leaves a stale socket."""
        return self.update(enabled=False, **own)

    @contextmanager
    def down(self, **own: Any) -> Iterator[Self]:
        """Be disabled for as long as the context lasts, and afterwards what it was before."""
        before = self.refresh().enabled
        self.disable(**own)
        try:
            yield self
        finally:
            if before:
                self.enable()

    def destroy(self) -> bool:
        """End it."""
        return self.server.destroy(self)

    def toxics(self) -> dict[str, "Toxic"]:
        """Return its toxics by name, in their order."""
        told = self.server.ask("GET", "proxies", self.name, "toxics")
        return {one["name"]: Toxic(self, one) for one in told}

    def add_toxic(
        self,
        type: str,  # noqa: A002 - the package's word
        stream: str = "downstream",
        name: str = "",
        toxicity: float = 1.0,
        attributes: Mapping[str, int] | None = None,
        **more: int,
    ) -> "Toxic":
        """Add a toxic, which is removed when its context is left, or by `remove`.

        Args:
            type: of it.
            stream: `downstream` or `upstream`.
            name: of it; empty: `<type>_<stream>`.
            toxicity: how likely it is that a connection has it.
            attributes: of its type.
            more: attributes, by name.

        Raises:
            InvalidToxicError: there is no such toxic, here or at the server.
            ToxicExistsError: the proxy has one of that name.
        """
        body = {
            "name": name or f"{type}_{stream}",
            "type": type,
            "stream": stream,
            "toxicity": toxicity,
            "attributes": checked(type, {**(attributes or {}), **more}),
        }
        return Toxic(self, self.server.ask("POST", "proxies", self.name, "toxics", body=body))

    def upstream_toxic(self, type: str, **how: Any) -> "Toxic":  # noqa: A002 - as above
        """Add a toxic to what clients send."""
        return self.add_toxic(type, "upstream", **how)

    def destroy_toxic(self, toxic_name: str) -> bool:
        """Remove a toxic.

        Raises:
            NotFoundError: there is none of that name.
        """
        self.server.ask("DELETE", "proxies", self.name, "toxics", toxic_name)
        return True

    def recorded(self) -> list[tuple[bytes, bytes]]:
        """Return what passed on each connection, upstream and downstream, if it is recorded.

        Raises:
            ApiError: the server is none of the suite's.
        """
        return [
            (b64decode(one["upstream"]["data"]), b64decode(one["downstream"]["data"]))
            for one in self.server.ask("GET", "proxies", self.name, "connections")
        ]

    def drop_connections(self) -> None:
        """Close every connection, and go on listening: a `timeout` that is removed does so."""
        with self.add_toxic("timeout", name="drop-connections"):
            pass


class Toxic(PackagesToxic):  # type: ignore[misc]
    """One toxic of a proxy."""

    def __init__(self, proxy: Proxy, told: Mapping[str, Any]) -> None:
        """Take what a server told."""
        super().__init__(**told)
        self.proxy = proxy

    def __repr__(self) -> str:
        """Show what it does."""
        return f"Toxic({self.name!r}, {self.stream} {self.type} {self.attributes})"

    def __enter__(self) -> Self:
        """Be there already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove it."""
        self.remove()

    def update(self, *, toxicity: float | None = None, **attributes: int) -> Self:
        """Change attributes, or how likely it is that a connection has it.

        Raises:
            InvalidToxicError: a value is impossible.
        """
        changed = dict(self.attributes) | attributes
        body: dict[str, Any] = {"attributes": checked(self.type, changed)}
        if toxicity is not None:
            body["toxicity"] = toxicity
        told = self.proxy.server.ask(
            "PATCH", "proxies", self.proxy.name, "toxics", self.name, body=body
        )
        super().__init__(**told)
        return self

    def remove(self) -> None:
        """Remove it, where it or its proxy is not gone already."""
        with suppress(NotFoundError):
            self.proxy.destroy_toxic(self.name)


def checked(kind: str, attributes: Mapping[str, Any]) -> dict[str, int]:
    """Return attributes that no server breaks on.

    Toxiproxy ends its process at a slice of 0 bytes or a negative rate, and cannot be spoken to
    while `reset_peer` waits.

    Raises:
        InvalidToxicError: names the one that is impossible.
    """
    known = TYPES.get(kind)
    if known is None:
        raise InvalidToxicError(400, "invalid toxic type")
    found = {name: one.default for name, one in known.items()} | dict(attributes)
    for name, value in found.items():
        if name not in known:
            raise InvalidToxicError(400, f"{kind} has no {name}")
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidToxicError(400, f"{name}: {value!r} is no whole number")
        if value < known[name].least:
            raise InvalidToxicError(400, f"{name}: {value} is less than {known[name].least}")
        if kind == "reset_peer" and value > LONGEST_RESET:
            raise InvalidToxicError(400, f"{name}: {value} is more than {LONGEST_RESET}")
    return found
