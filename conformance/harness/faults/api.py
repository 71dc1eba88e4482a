"""The HTTP API, as Toxiproxy 2.12 speaks it."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from .collection import Collection
from .proxies import Proxy, placed
from .refusals import Refusal, bad

VERSION = "2.12.0+embedded"
"""Whose API it is; what follows the number tells its clients who it is."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """Answers requests about a collection of proxies."""

    def __init__(self, collection: Collection) -> None:
        """Serve them."""
        self._collection = collection

    def application(self) -> web.Application:
        """Return what aiohttp serves."""
        application = web.Application(middlewares=[_answered])
        application.add_routes(
            [
                web.get("/version", self._version),
                web.get("/metrics", self._metrics),
                web.post("/reset", self._reset),
                web.post("/populate", self._populate),
                web.get("/proxies", self._list),
                web.post("/proxies", self._create),
                web.get("/proxies/{proxy}", self._show),
                web.post("/proxies/{proxy}", self._change),
                web.patch("/proxies/{proxy}", self._change),
                web.delete("/proxies/{proxy}", self._remove),
                web.get("/proxies/{proxy}/connections", self._connections),
                web.get("/proxies/{proxy}/toxics", self._toxics),
                web.post("/proxies/{proxy}/toxics", self._add_toxic),
                web.get("/proxies/{proxy}/toxics/{toxic}", self._toxic),
                web.post("/proxies/{proxy}/toxics/{toxic}", self._change_toxic),
                web.patch("/proxies/{proxy}/toxics/{toxic}", self._change_toxic),
                web.delete("/proxies/{proxy}/toxics/{toxic}", self._remove_toxic),
            ]
        )
        return application

    async def _version(self, _: web.Request) -> web.Response:
        return _told({"version": VERSION})

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=_exposed(self._collection.proxies))

    async def _reset(self, _: web.Request) -> web.Response:
        await self._collection.reset()
        return web.Response(status=204)

    async def _populate(self, request: web.Request) -> web.Response:
        try:
            made = await self._collection.populate(await _json(request))
        except Refusal as refusal:
            told = {"error": refusal.message, "status": refusal.status, "proxies": None}
            return _told(told, refusal.status)
        return _told({"proxies": [proxy.told() for proxy in made]}, 201)

    async def _list(self, _: web.Request) -> web.Response:
        return _told({name: one.told() for name, one in self._collection.proxies.items()})

    async def _create(self, request: web.Request) -> web.Response:
        return _told(self._collection.create(await _object(request)).told(), 201)

    async def _show(self, request: web.Request) -> web.Response:
        return _told(self._proxy(request).told())

    async def _change(self, request: web.Request) -> web.Response:
        proxy = self._proxy(request)
        await proxy.become(placed(await _object(request), proxy.place))
        return _told(proxy.told())

    async def _remove(self, request: web.Request) -> web.Response:
        await self._collection.remove(request.match_info["proxy"])
        return web.Response(status=204)

    async def _connections(self, request: web.Request) -> web.Response:
        return _told(self._proxy(request).connections())

    async def _toxics(self, request: web.Request) -> web.Response:
        return _told([toxic.told() for toxic in self._proxy(request).toxics.values()])

    async def _add_toxic(self, request: web.Request) -> web.Response:
        proxy = self._proxy(request)
        return _told(proxy.add(await _object(request)).told())

    async def _toxic(self, request: web.Request) -> web.Response:
        return _told(self._proxy(request).toxic(request.match_info["toxic"]).told())

    async def _change_toxic(self, request: web.Request) -> web.Response:
        proxy, name = self._proxy(request), request.match_info["toxic"]
        proxy.toxic(name)
        return _told(proxy.update(name, await _object(request)).told())

    async def _remove_toxic(self, request: web.Request) -> web.Response:
        self._proxy(request).remove(request.match_info["toxic"])
        return web.Response(status=204)

    def _proxy(self, request: web.Request) -> Proxy:
        return self._collection.named(request.match_info["proxy"])


@web.middleware
async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what is refused, and what aiohttp refuses, as Toxiproxy does: JSON as text/plain."""
    if request.headers.get("User-Agent", "").startswith("Mozilla/"):
        # Web pages that a developer looks at must not reach the proxy.
        return web.Response(status=403, text="User agent not allowed\n")
    try:
        return await handler(request)
    except Refusal as refusal:
        told = json.dumps({"error": refusal.message, "status": refusal.status})
        return web.Response(status=refusal.status, text=told)
    except web.HTTPNotFound:
        return web.Response(status=404, text="404 page not found\n")
    except web.HTTPMethodNotAllowed:
        return web.Response(status=405)


async def _json(request: web.Request) -> Any:
    text = await request.text()
    try:
        return json.loads(text)
    except ValueError as error:
        raise bad(str(error) if text.strip() else "EOF") from error


async def _object(request: web.Request) -> Mapping[str, Any]:
    body = await _json(request)
    if not isinstance(body, Mapping):
        raise bad(f"{body!r} is no object")
    return body


def _told(what: Any, status: int = 200) -> web.Response:
    return web.json_response(what, status=status)


def _exposed(proxies: Mapping[str, Proxy]) -> str:
    lines = []
    for kind in ("received", "sent"):
        metric = f"toxiproxy_proxy_{kind}_bytes_total"
        lines.append(f"# TYPE {metric} counter")
        for name, proxy in proxies.items():
            place = f'proxy="{name}",listener="{proxy.place.listen}"'
            lines += [
                f'{metric}{{direction="{stream}",{place},upstream="{proxy.place.upstream}"}}'
                f" {count.told()[kind]}"
                for stream, count in proxy.counts.items()
            ]
    return "\n".join(lines) + "\n"
