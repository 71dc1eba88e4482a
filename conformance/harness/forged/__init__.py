"""Broken HTTP/2, one small record a case, and how it may be taken.

`CLIENTS` holds what a service meets (ERR-4), `SERVERS` what the mesh client meets (ERR-9).
"""

from .answers import ANSWERS
from .connections import CONNECTIONS
from .floods import FLOODS
from .frames import FRAMES
from .headers import HEADERS
from .messages import MESSAGES
from .record import Client, Ending
from .server import Server

CLIENTS: dict[str, Client] = {one.name: one for one in (*FRAMES, *HEADERS, *FLOODS, *MESSAGES)}
"""By name."""

SERVERS: dict[str, Server] = {one.name: one for one in (*ANSWERS, *CONNECTIONS)}
"""By name."""

__all__ = ["CLIENTS", "SERVERS", "Client", "Ending", "Server"]
