"""What a server of fault proxies refuses, as errors that say so in its words."""

from collections.abc import Mapping
from contextlib import suppress

import requests
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists


class ApiError(Exception):
    """The server refused, or broke.

    Args:
        status: of HTTP.
        message: what it said.
    """

    def __init__(self, status: int, message: str) -> None:
        """Hold both."""
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class NotFoundError(ApiError, NotFound):  # type: ignore[misc]
    """There is no proxy or toxic of that name; the package's `NotFound` too."""


class ProxyExistsError(ApiError, ProxyExists):  # type: ignore[misc]
    """There is a proxy of that name; the package's `ProxyExists` too."""


class ToxicExistsError(ApiError):
    """There is a toxic of that name on the proxy, in one of the directions."""


class InvalidToxicError(ApiError, InvalidToxic):  # type: ignore[misc]
    """There is no such toxic; the package's `InvalidToxic` too."""


def error_of(answer: requests.Response) -> ApiError:
    """Return what an answer's status and words come to."""
    message, status = answer.text.strip()[:500] or answer.reason, answer.status_code
    with suppress(requests.JSONDecodeError):
        told = answer.json()
        if isinstance(told, Mapping) and "error" in told:
            message = str(told["error"])
    kind = ApiError
    if status == requests.codes.not_found:
        kind = NotFoundError
    elif status == requests.codes.conflict:
        kind = ToxicExistsError if "toxic" in message else ProxyExistsError
    elif status == requests.codes.bad_request and "/toxics" in str(answer.url):
        kind = InvalidToxicError
    return kind(status, message)
