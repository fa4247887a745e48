"""What verbs share that ask others about our own log: whom, how, what they said, and where evidence is kept."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from gateway.app.cli import output
from gateway.app.cli.progress import paused
from gateway.app.cli.state import State, write_file
from gateway.errors import LocalError

if TYPE_CHECKING:
    from gateway.app.guard import Answer, Get, Source
    from gateway.tlog.fork import Fork

FETCH_S: Final = 60.0
"""For one resource of a mirror; a bundle may have 16 MiB."""

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Known:
    """What this store knows of others.

    Args:
        sources: the other members of its roster.
        signed: the newest of our own notes that is on record; empty for none.
        records: all of them, also the newest that a quorum cosigned.
    """

    sources: tuple[Source, ...] = ()
    signed: bytes = b""
    records: tuple[bytes, ...] = ()


def from_option(command: F) -> F:
    """Add `--from`."""
    return click.option(
        "--from",
        "urls",
        multiple=True,
        metavar="URL",
        help="A mirror of this log: a peer, or a web server with an export. May be repeated. Where nothing is said, "
        "the peers of the roster.",
    )(command)


def yes_options(command: F) -> F:
    """Add `--yes` and `--dry-run`."""
    command = click.option("--yes", is_flag=True, help="The question was answered: do not ask.")(command)
    return click.option("--dry-run", is_flag=True, help="Ask others and check everything; change nothing.")(
        command
    )


def known_here(state: State, origin: str) -> Known:
    """Whom the roster in this store names, and our own notes that are on record in it.

    Raises:
        Damage, StoreRefused, StoreError: peers.db cannot be read.
    """
    from gateway.app.guard import sources_of
    from gateway.core.roster import parse_roster
    from gateway.errors import Damage, RemoteError
    from gateway.store.peer_snapshot import PeerSnapshot

    if not state.layout.peers.exists():
        return Known()
    with PeerSnapshot(state.layout.peers) as peers:
        newest, cosigned = peers.newest_roster(), peers.cosigned()
        own = [row.note for row in peers.logs() if row.origin == origin and row.note]
    try:
        roster = parse_roster(newest.raw).roster if newest else None
    except RemoteError as error:
        raise Damage("roster", "the roster in peers.db is not one", "Run `vestibule fsck`.") from error
    ours = cosigned is not None and cosigned.note.startswith(f"{origin}\n".encode())
    records = (*own, *([cosigned.note] if cosigned is not None and ours else ()))
    return Known(tuple(sources_of(roster, origin)), own[0] if own else b"", records)


def sources(urls: Sequence[str], known: Known) -> list[Source]:
    """Whom to ask: the URLs that were given, or else the roster."""
    from gateway.app.guard import named

    return named(urls) or list(known.sources)


def asking(state: State, work: Callable[[Get], Coroutine[Any, Any, T]]) -> T:
    """Run something that asks others; evidence that it finds is kept.

    Args:
        state: of the store.
        work: is given what reads resources.
    """
    from gateway.app.guard import Forked
    from gateway.net.peer_client import PeerClient

    async def run() -> T:
        client = PeerClient(whole_s=FETCH_S)
        try:
            return await work(client.get)
        finally:
            await client.close()

    try:
        return asyncio.run(run())
    except Forked as forked:
        if forked.fork is not None:
            output.note(f"Evidence of it is kept {asyncio.run(_keep(state, forked.fork))}.")
        raise


async def _keep(state: State, fork: Fork) -> str:
    """Keep evidence with that against others; without a peers.db, in a file. Returns where."""
    from gateway.core.follow import KeepFork
    from gateway.store.peers import PeerStore
    from gateway.tlog.checkpoint import parse_checkpoint
    from gateway.tlog.fork import fork_id
    from gateway.tlog.note import parse_note

    origin = parse_checkpoint(parse_note(fork.a).text).origin
    if state.layout.peers.exists():
        store = await PeerStore.open(state.layout.peers)
        try:
            await store.keep([KeepFork(origin, fork, time.time_ns() // 1_000_000)])
        finally:
            await store.close()
        return "in this store: `vestibule peer evidence`"
    path = Path(f"fork-{fork_id(fork).hex()[:16]}.json")
    if not path.exists():
        write_file(path, fork.encode().decode())
    return f"in {path}; check it with `vestibule peer evidence --check {path} --vkey VKEY`"


def asker(yes: bool, prompt: str) -> Callable[[str], bool]:
    """How the operator is asked: never answered by a default, and nobody to ask is a no.

    Args:
        yes: it was answered already.
        prompt: the last, short question.
    """

    def confirm(question: str) -> bool:
        if yes:
            return True
        with paused():
            output.note(output.prose(question))
            if not sys.stdin.isatty():
                raise LocalError("not_confirmed", "nobody is there to be asked", "Add --yes.")
            return click.confirm(prompt, err=True)

    return confirm


def show_answers(answers: Sequence[Answer]) -> None:
    """Say who was asked, and what they said."""
    for answer in answers:
        output.note(f"  {output.clean(answer.said)}")


def answers_document(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """The same as JSON."""
    return [
        {
            "name": answer.source.name,
            "url": answer.source.url,
            "says": answer.word,
            "size": answer.head.size if answer.head is not None else None,
        }
        for answer in answers
    ]
