"""Somebody who writes to identity, storage and ledger, and remembers what was acknowledged."""

import asyncio
import hashlib
import itertools
import random
from collections.abc import Callable, Mapping
from typing import Any

from blackhole.identity.v1 import identity_pb2

from .acknowledged import APPEND, CREATE, KINDS, UPLOAD, Writes
from .calls import Answer, Channel, Metadata
from .identity import Identity
from .judging import expect
from .ledger import Ledger, expect_chain
from .service import ServedProcess
from .storage import Storage, content

SERVICES: Mapping[str, type[ServedProcess]] = {
    kind.NAME: kind for kind in (Identity, Ledger, Storage)
}
"""The services that are written to, by name."""

WRITTEN_TO: Mapping[str, str] = {CREATE: Identity.NAME, APPEND: Ledger.NAME, UPLOAD: Storage.NAME}
"""Which of them takes which kind of write."""

DEADLINE = 2.0
"""Seconds of each write: one that waits for a service that is gone for good ends with it."""

LARGEST = 200_000
"""Bytes of a file at most, in up to three chunks: no more than a Unix socket's buffer takes, or
the deadline of an upload to a stopped process would not end it."""

AGAIN: Mapping[str, Any] = {
    "circuit": {"half_open_timeout": "0.05s"},
    "default_timeout": "1s",
    "retry": {"initial_backoff": "0.01s"},
}
"""Settings by which storage finds soon that a service it calls is back."""

UNANSWERED = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")
"""How a read ends of whose service nobody is there."""


class Writer:
    """Writes, each under a name that nobody used before, and the history of them.

    Args:
        seed: of the files that are written.
    """

    def __init__(self, seed: int) -> None:
        """Nothing is written, and nobody is there to write to."""
        self.writes = Writes()
        """The history; whoever puts another in its place begins anew."""
        self.services: dict[str, Any] = {}
        """Those that are written to, by name."""
        self.noted = asyncio.Event()
        """Set by each acknowledgement."""
        self._random = random.Random(seed)  # noqa: S311 - for files that can be had again
        self._numbers = itertools.count(1)
        self._owner: Metadata = ()
        self._as_owner: Channel | None = None

    def __repr__(self) -> str:
        """Show the history."""
        return f"Writer({self.writes})"

    async def own(self, caller: Callable[[str], Metadata]) -> None:
        """Create the DID as which files are uploaded: storage asks identity for it.

        Args:
            caller: returns the metadata of somebody's calls who has that DID.
        """
        owner = await self.services[Identity.NAME].create(properties={"name": "owner"})
        self.writes.acknowledged[CREATE][owner.did] = {"name": "owner"}
        self._owner = tuple(caller(owner.did))
        self.connect()

    def connect(self) -> None:
        """Upload over a connection of its own from now on."""
        self._as_owner = self.services[Storage.NAME].connect(
            metadata=self._owner or None  # Nobody has a DID before the first one.
        )

    async def reconnect(self) -> None:
        """Begin with new connections: old ones may wait for a while before they try again."""
        for service in self.services.values():
            await service.hang_up()
            service.channel = service.connect()
        self.connect()

    async def write(self, kind: str, caller: str = "") -> bool:
        """Write something of a kind; tell whether that was acknowledged."""
        return await {CREATE: self._create, UPLOAD: self._upload, APPEND: self._append}[kind](
            caller
        )

    async def append_again(self, names: set[str]) -> None:
        """Append entries again, by name, each with its key.

        Raises:
            NonConformance: one is not taken, or is another than was acknowledged.
        """
        known, ledger = self.writes.acknowledged[APPEND], self.services[Ledger.NAME]
        for name in sorted(names):
            entry = await ledger.appended(APPEND, name.encode(), name)
            what = f"the entry {name}, appended again with its key"
            expect(entry, equals=known.setdefault(name, entry), what=what)

    async def read(self, kind: str, number: int) -> str:
        """Read one of the acknowledged writes of a kind; return its name, empty where is none.

        Raises:
            NonConformance: the answer is another than what was written, or a wrong refusal.
        """
        if not (names := list(self.writes.acknowledged[kind])):
            return ""
        name = names[number % len(names)]
        written = self.writes.acknowledged[kind][name]
        code, seen = await {CREATE: self._did, UPLOAD: self._digest, APPEND: self._entry}[kind](
            name, written
        )
        what = f"what is read of {name}, which was acknowledged"
        if code == "OK":
            expect(seen, equals=written[0] if kind == UPLOAD else written, what=what)
        else:
            expect(code, one_of=UNANSWERED, what=f"{what}: code where it is not OK")
        return name

    async def verify(self, first: Any = None) -> None:
        """Look for everything of the history, and verify the chain of the ledger.

        Args:
            first: an entry that was appended before all of it; None: verify the whole ledger.

        Raises:
            NonConformance: the chain does not hold.
        """
        known = self.writes.acknowledged
        await self.writes.look_for_dids(self.services[Identity.NAME], known[CREATE])
        await self.writes.look_for_files(self.services[Storage.NAME], known[UPLOAD])
        await self.verify_ledger(first)

    async def verify_ledger(self, first: Any = None) -> None:
        """Verify the chain of the ledger, and look in it for what must be there; see `verify`.

        Raises:
            NonConformance: the chain does not hold.
        """
        ledger = self.services[Ledger.NAME]
        last = await self.mark()
        entries = await ledger.replayed(await ledger.entries(first.index if first else 0), last)
        if first:
            expect_chain(entries, first=first.index, before=first.previous_hash)
        else:
            expect_chain(entries)
        self.writes.chains += 1
        self.writes.look_into(entries)

    async def mark(self) -> int:
        """Append an entry that ends what is to be read; return its index."""
        return int((await self.services[Ledger.NAME].appended("mark", b"the end")).index)

    async def _create(self, _caller: str) -> bool:
        name = self._name("create")
        request = identity_pb2.CreateDIDRequest(method="key", properties={"name": name})
        answer = await self.services[Identity.NAME].call("CreateDID", request, timeout=DEADLINE)
        return self._note(CREATE, name, answer, lambda told: (told.did, {"name": name}))

    async def _upload(self, _caller: str) -> bool:
        name = self._name("upload")
        data = content(name, self._random.randint(0, LARGEST))
        step = max(1, -(-len(data) // self._random.randint(1, 3)))
        chunks = [data[at : at + step] for at in range(0, len(data), step)]
        answer = await self.services[Storage.NAME].upload(
            name, *chunks, channel=self._as_owner, timeout=DEADLINE
        )
        written = hashlib.sha256(data).hexdigest()
        return self._note(UPLOAD, name, answer, lambda told: (name, (written, told.ledger_index)))

    async def _append(self, caller: str) -> bool:
        name = self._name("append")
        answer = await self.services[Ledger.NAME].append(APPEND, name.encode(), name)
        if answer.code == "OK" and caller:
            self.writes.order.setdefault(caller, []).append(answer.response.entry.index)
        return self._note(APPEND, name, answer, lambda told: (name, told.entry))

    def _name(self, what: str) -> str:
        return f"{what}-{next(self._numbers)}"

    def _note(
        self, kind: str, name: str, answer: Answer, told: Callable[[Any], tuple[str, Any]]
    ) -> bool:
        if answer.code != "OK":
            self.writes.indefinite[kind].add(name)
            self.writes.codes[f"{kind}: {answer.code}"] += 1
            return False
        found, written = told(answer.response)
        self.writes.acknowledged[kind][found] = written
        self.noted.set()
        return True

    async def _did(self, name: str, _written: Any) -> tuple[str, Any]:
        request = identity_pb2.ResolveDIDRequest(did=name)
        answer = await self.services[Identity.NAME].call("ResolveDID", request, timeout=DEADLINE)
        seen = dict(answer.response.document.properties) if answer.response else None
        return answer.code, seen

    async def _digest(self, name: str, _written: Any) -> tuple[str, Any]:
        messages, answer = await self.services[Storage.NAME].download(name)
        return answer.code, hashlib.sha256(b"".join(messages)).hexdigest()

    async def _entry(self, _name: str, written: Any) -> tuple[str, Any]:
        answer = await self.services[Ledger.NAME].get(written.index)
        return answer.code, answer.response and answer.response.entry


def writes_of(name: str) -> str:
    """Return which kind of writes a service takes."""
    return next(kind for kind in KINDS if WRITTEN_TO[kind] == name)
