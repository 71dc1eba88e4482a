"""The command line: which role to run, with which configuration.

The roles' modules are imported once the configuration is known to be good: a
mistake is told at once, and SIGTERM until then ends a process that owns nothing.
"""

import argparse
import gc
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .config.reading import ConfigError
from .mesh.telemetry import logging

SERVICES = {
    name: f"reference.services.{name}.process"
    for name in ("events", "identity", "ledger", "storage")
}
"""Module that runs each service, imported when it is asked for."""

ORCHESTRATOR = "reference.orchestrator.process"
"""Module that runs the orchestrator."""

DRIVER = "reference.driver.process"
"""Module that runs the driver."""

EXAMPLE = "reference.example.process"
"""Module that makes and runs an example of a node."""

WRONG_USE = 2
"""Exit status of a start that its configuration or command line made impossible."""


class _Parser(argparse.ArgumentParser):
    """Tells mistakes as log lines, because standard error is the log."""

    def error(self, message: str) -> NoReturn:
        fail(message)


class _Version(argparse.Action):
    """Prints the version; what finds it out costs 20 ms, and no service needs it."""

    def __call__(self, *_: Any) -> None:
        from importlib.metadata import version  # noqa: PLC0415

        print(version("blackhole-conformance"))  # noqa: T201 - asked for
        sys.exit(0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the role that the arguments ask for, until it ends."""
    logging.claim_standard_streams()
    # Its core writes of each refused handshake to standard error, and waits while that is full:
    # any stranger could stop the process so, where nobody reads (PROC-9).
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    options = _parser().parse_args(arguments)
    logging.configure(service=options.name)
    try:
        sys.exit(options.role(options))
    except ConfigError as error:
        fail(f"{options.config}: {error}")


def fail(message: str) -> NoReturn:
    """Say why the process cannot start, and end it."""
    logging.configure()
    logging.logger().error(message)
    logging.flush()
    sys.exit(WRONG_USE)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="reference", description=__doc__)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    roles = parser.add_subparsers(required=True, metavar="ROLE", parser_class=_Parser)
    service = roles.add_parser("service", help="run one service in the foreground")
    service.add_argument("name", choices=sorted(SERVICES), metavar="NAME")
    service.add_argument("--version", default="", metavar="V", help="semantic version to run as")
    service.set_defaults(role=_service)
    driver = roles.add_parser("driver", help="run the mesh client, remote-controlled")
    driver.set_defaults(role=_driver, name="driver")
    orchestrator = roles.add_parser("orchestrator", help="start, watch and restart every service")
    orchestrator.set_defaults(role=_orchestrator, name="orchestrator")
    for role in (service, driver, orchestrator):
        role.add_argument("--config", required=True, type=Path, metavar="FILE")
    example = roles.add_parser("example", help="make a node, say how it is called, and run it")
    example.add_argument("--dir", required=True, type=Path, dest="config", metavar="DIR")
    example.add_argument("--token", metavar="SUBJECT", help="print a token for somebody instead")
    example.add_argument("--role", default="uploader", dest="as_role", help="of SUBJECT")
    example.set_defaults(role=_example, name="example")
    return parser


def _service(options: argparse.Namespace) -> int:
    from .config.service import load  # noqa: PLC0415 - each role reads what it needs

    settings = load(options.config, options.name, options.version)
    return _runner(SERVICES[options.name])(settings)


def _driver(options: argparse.Namespace) -> int:
    from .config.client import load  # noqa: PLC0415 - as above

    settings = load(options.config)
    return _runner(DRIVER)(settings)


def _orchestrator(options: argparse.Namespace) -> int:
    from .config.orchestrator import load  # noqa: PLC0415 - as above

    settings = load(options.config)
    return _runner(ORCHESTRATOR)(settings)


def _example(options: argparse.Namespace) -> int:
    process = importlib.import_module(EXAMPLE)
    if options.token is not None:
        return int(process.tell_token(options.config, options.token, options.as_role))
    return _runner(EXAMPLE)(options.config)


def _runner(module: str) -> Callable[..., int]:
    """Import the module of a role, and return what runs it."""
    run: Callable[..., int] = importlib.import_module(module).run
    # What is there now stays to the end. Looking through it for garbage was off until here.
    gc.freeze()
    gc.enable()
    return run
