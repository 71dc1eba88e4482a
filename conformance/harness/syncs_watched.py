"""Executes a command whose requests to make data durable are answered by the suite.

`python -S -E syncs_watched.py ADDRESS COMMAND…`: installs a filter of system calls (seccomp) that
asks a listener about each of them, gives that listener to whoever waits at the abstract Unix socket
ADDRESS, and becomes the command. It needs no privilege, and no package.
"""

import ctypes
import os
import platform
import socket
import struct
import sys

NUMBERS = {
    "x86_64": {
        "fsync": 74,
        "fdatasync": 75,
        "msync": 26,
        "sync_file_range": 277,
        "syncfs": 306,
        "seccomp": 317,
    },
    "aarch64": {
        "fsync": 82,
        "fdatasync": 83,
        "msync": 227,
        "sync_file_range": 84,
        "syncfs": 267,
        "seccomp": 277,
    },
}
"""System calls by machine."""

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER, _NEW_LISTENER = 1, 8
_ALLOW, _ASK = 0x7FFF0000, 0x7FC00000
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER, _ARCHITECTURE = 0, 4
"""Where they stand in what a filter is shown."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _instructions(machine: str) -> bytes:
    """Return the filter: what makes data durable is asked about, all else is allowed."""
    asked = [number for name, number in NUMBERS[machine].items() if name != "seccomp"]
    found = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, len(asked) + 1, _ARCHITECTURES[machine]),
        (_LOAD, 0, 0, _NUMBER),
        *((_EQUAL, len(asked) - at, 0, number) for at, number in enumerate(asked)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ASK),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in found)


def _listener() -> int:
    """Install the filter; return the descriptor of its listener.

    Raises:
        OSError: this host forbids it.
    """
    machine = platform.machine()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    code = _instructions(machine)
    program = _Program(len(code) // 8, code)
    number = NUMBERS[machine]["seccomp"]
    listener: int = libc.syscall(number, _SET_MODE_FILTER, _NEW_LISTENER, ctypes.byref(program))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return listener


def main(address: str, *command: str) -> None:
    """Become the command, once its listener was handed over."""
    with socket.socket(socket.AF_UNIX) as suite:
        suite.connect(f"\0{address}")
        listener = _listener()
        socket.send_fds(suite, [b"."], [listener])
        os.close(listener)
    os.execvp(command[0], command)  # noqa: S606 - what the suite starts


if __name__ == "__main__":
    main(*sys.argv[1:])
