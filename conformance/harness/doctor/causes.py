"""What a symptom usually comes from: pure, the likeliest first."""

import signal
from collections.abc import Mapping, Sequence

HTTP1 = b"HTTP/1."
TLS_ALERT = b"\x15\x03"
SETTINGS_TYPE = 4
TERMINATED = (-15, 143)
"""Exit statuses of a process that SIGTERM ended, and of a shell that tells so."""

_USAGE = (
    "usage",
    "unrecognized",
    "unknown flag",
    "unknown command",
    "not defined",
    "invalid choice",
)
_MISSING = ("ModuleNotFoundError", "ImportError", "cannot open shared object", "No such file")
_CRASH = ("Traceback (most recent call last)", "panic:", "panicked at")

BACKGROUND = (
    "it goes into the background, or its main function returns once the server is started: a"
    " service runs in the foreground until SIGTERM"
)
ARGUMENTS = "it does not understand the arguments that the suite adds to `command`"
ENVIRONMENT = (
    "something that it needs is not found: it runs in `cwd`, with an environment of PATH, HOME,"
    " LANG and TMPDIR alone; what else it needs goes into `env`"
)
ANOTHER_PROGRAM = (
    "`command` in the manifest starts another program than you think, or a script that swallows"
    " what that prints: run the command by hand"
)
NOT_EXECUTED = (
    "`command` is a shell script that does not `exec` the program: the signal ends the shell at"
    " most, and the service goes on"
)

BY_CODE: Mapping[str, str] = {
    "UNIMPLEMENTED": "the standard service grpc.health.v1.Health is not added to the server",
    "UNAUTHENTICATED": "health checks are let through without a token, whatever is configured",
}
"""Why Check is answered with a code other than OK."""

BY_STATUS: Mapping[str, str] = {
    "SERVICE_UNKNOWN": "the status is set for another name: set it for the empty one and this one",
    "NOT_SERVING": "nothing sets the status to SERVING once the server listens",
}
"""Why Check says another status than SERVING."""

OF_A_CALL: Mapping[str, Sequence[str]] = {
    "UNIMPLEMENTED": (
        "the method is not written yet, or its service is not added to the server",
        "its package or name is spelled otherwise than in protos/",
    ),
    "UNKNOWN": ("the handler raised what nobody maps to a status: look at its log",),
    "UNAVAILABLE": ("the process ended in the call, or closes connections",),
    "DEADLINE_EXCEEDED": ("the handler waits for something that never comes",),
    "OK": ("a handler answers without doing what was asked: an empty or a copied message",),
}
"""Why the first call is not answered as it should be, by its code."""

OF_ANOTHER_CODE = ("the request is a right one: the check that refuses it is too strict",)

IGNORED = (
    "a handler of SIGTERM sets a flag that nobody looks at, or waits for calls without an end",
    NOT_EXECUTED,
)
"""Why a process outlives SIGTERM."""

PLAIN = (
    "the logging library is not set to JSON, or names its fields otherwise",
    "a library, or the runtime, writes to standard error by itself",
)
"""Why standard error is no log."""

LENIENT = (
    "a plain JSON parser reads the file, or that of ProtoJSON is told to ignore unknown fields:"
    " parse it as NodeConfig, and let the parser refuse (most do, unless told otherwise)"
)
SILENT = "the parser's error is caught, and not written to standard error"


def ending(status: int) -> str:
    """Return how a process ended, in words."""
    return f"exit status {status}" if status >= 0 else signal.Signals(-status).name


def of_an_end(status: int, printed: str) -> list[str]:
    """Return why a process ends before it is ready.

    Args:
        status: its exit status; negative: the signal.
        printed: all that it wrote.
    """
    signs = {
        BACKGROUND: status == 0,
        f"{ending(status)} ended it: a crash, a limit, or somebody else": status < 0,
        ARGUMENTS: any(word in printed.lower() for word in _USAGE),
        ENVIRONMENT: any(word in printed for word in _MISSING),
        "a mistake in its program: its own words tell where": any(w in printed for w in _CRASH),
        ANOTHER_PROGRAM: not printed.strip() and status > 0,
    }
    return [cause for cause, seen in signs.items() if seen] or ["its own words say why"]


def of_no_socket(listening: Sequence[str], entries: Sequence[str]) -> list[str]:
    """Return why there is no socket, while the process runs.

    Args:
        listening: where it listens in truth.
        entries: what is in the directory.
    """
    if listening:
        right = "`socket_dir` of the configuration, and below it NAME.sock"
        return [f"it listens at {', '.join(listening)}, and not where it should: {right}"]
    if entries:
        return ["the file has another name than NAME.sock"]
    return [
        "it waits for something before it listens: input, a lock, a network, another service",
        "it never reads `socket_dir`, and listens nowhere",
    ]


def of_first_bytes(first: bytes, *, closed: bool) -> list[str]:
    """Return why what came after the preface is no HTTP/2."""
    if first.startswith(HTTP1):
        return ["an HTTP/1.1 server listens there: gRPC is HTTP/2 with prior knowledge (h2c)"]
    if first.startswith(TLS_ALERT):
        return ["it wants TLS at the Unix socket: TLS is for `services.NAME.tcp` alone"]
    if first:
        return ["another protocol than gRPC is served there"]
    if closed:
        return [
            "its accept loop closes connections at once, or a handler fails in its first line",
            "it wants TLS at the Unix socket, and drops who begins without",
        ]
    return [
        "nobody reads what is accepted: the socket listens, and the gRPC server was not started",
        "all threads of the server are busy or blocked",
    ]


def of_health(code: str, *, echoed: bool = False, status: str = "") -> list[str]:
    """Return why Check does not say SERVING."""
    if code != "OK":
        catch_all = "an interceptor, or a catch-all handler, answers before the health service does"
        return [BY_CODE.get(code, catch_all)]
    if echoed:
        return ["a handler gives back the request: the answer has to be a HealthCheckResponse"]
    empty = "a handler answers with an empty message: `status` has to be SERVING (1)"
    return [BY_STATUS.get(status, empty)]


def of_a_call(code: str) -> Sequence[str]:
    """Return why the first call is not answered as it should be."""
    return OF_A_CALL.get(code, OF_ANOTHER_CODE)


def of_an_exit(status: int) -> list[str]:
    """Return why a process that SIGTERM ended has not the exit status 0."""
    if status in TERMINATED:
        handled = "nothing handles SIGTERM, whose default is to end the process: drain, and exit 0"
        return [handled, NOT_EXECUTED]
    if status < 0:
        return [f"{ending(status)} ended it while it shut down: a crash"]
    return ["an error while it shut down: its own words tell"]
