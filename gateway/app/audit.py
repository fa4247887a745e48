"""`vestibule audit`: follows a log from outside, with nothing but its public key and what this monitor saw before.

One run reads the head and holds it against the last one that was seen: it must continue it, or it is evidence. Then it
reads the entries that are new. Nobody on the way is trusted: neither the server, nor the network, nor a certificate.
What was seen is durable before anything is said (`audit_state`). Source: C2SP tlog-tiles, tlog-checkpoint, tlog-policy.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.app.audit_entries import OTHER, OURS, EntryCheck, is_ours
from gateway.app.audit_heads import Signed, earlier, later, open_head, same_size
from gateway.app.audit_report import Audited, Level
from gateway.app.audit_source import Source, open_source
from gateway.app.audit_state import Head, Key, LogFolder, State, last_head
from gateway.app.audit_tiles import Bundle, HeadTiles
from gateway.app.audit_trust import compare_policy, judge_age, judge_quorum
from gateway.app.report import Progress
from gateway.errors import LocalError, ProofError, RemoteError, SignatureError, StoreRefused, Unreachable
from gateway.tlog.fork import Fork, fork_id, verify_fork
from gateway.tlog.merkle import EMPTY_ROOT
from gateway.tlog.note import ED25519, MAX_NOTE_BYTES, VerifierKey, parse_note
from gateway.tlog.policy import Policy
from gateway.tlog.tiles import TILE_WIDTH, root_from_tiles

CHECKPOINT: Final = "checkpoint"  # tlog-tiles
ENTRIES_A_RUN: Final = 1_000_000
"""A head may claim any size; what is beyond this is read in the next run."""
SAVE_EVERY: Final = 64 * TILE_WIDTH
"""Entries after which what was checked is written down, so that a run that breaks off goes on there."""
PATIENCE_S: Final = 3.0
"""A quorum of a new head takes a second or two, and a cache as long: for so long, neither is told but waited for."""
ASK_EVERY_S: Final = 1.0
OLDER_S: Final = 60
"""A cache may give an older head for a few seconds (tlog-tiles). From the second run on, and after this, it is none."""
KEEP: Final = (
    "Keep the file, and the folder it is in: with the log's public key it convinces anyone. Show it to the clinic, and "
    "to whoever else relies on this log. Nothing after the last head that both agree on is certain any more."
)


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for.

    Args:
        source: URL of the log's prefix, or folder of an export.
        vkeys: keys of the log, at least one, all of one name.
        state_dir: where monitors of this machine remember what they saw.
        policy: whose quorum must have cosigned the head; None asks for no witness.
        max_age_s: how old the head's newest time may be; None for any age.
        entries: whether entries are read: None reads those of Vestibule and leaves others, True wants them.
        patience_s: how long to wait for a quorum.
    """

    source: str
    vkeys: tuple[VerifierKey, ...]
    state_dir: Path
    policy: Policy | None = None
    max_age_s: float | None = None
    entries: bool | None = None
    patience_s: float = PATIENCE_S


async def audit(order: Order, now_ms: int, progress: Progress = lambda what, done, total: None) -> Audited:
    """Follow a log for one run.

    Args:
        order: what is asked for.
        now_ms: UTC.
        progress: told `("entries", done, total)`.

    Returns:
        What was found, also where that is bad; its `exit_code` says how bad.

    Raises:
        LocalError: `source`, `audit_keys`: what is asked for makes no sense.
        StoreRefused: `audit_damaged`, `audit_foreign`, `audit_newer`, `audit_key`: the state cannot be used.
        StoreError: `audit_running`, `disk_full`, `disk_io`.
    """
    names = {vkey.name for vkey in order.vkeys}
    if len(names) != 1 or any(vkey.sig_type != ED25519 for vkey in order.vkeys):
        raise LocalError(
            "audit_keys",
            "a run follows one log: its keys have one name, and none is a witness'",
            "Give each log a run of its own; they may share the state directory.",
        )
    origin = names.pop()
    async with open_source(order.source) as source:
        with LogFolder(order.state_dir, origin) as folder:
            run = _Run(order, folder, folder.load(), source, now_ms, progress)
            await run.go()
            return run.told


class _Run:
    """One run over one log.

    Args:
        order, now_ms, progress: as of `audit`.
        folder: of the log.
        state: what is known of it.
        source: where it is read.
    """

    def __init__(
        self,
        order: Order,
        folder: LogFolder,
        state: State,
        source: Source,
        now_ms: int,
        progress: Progress,
    ) -> None:
        self._order, self._folder, self._state, self._source = order, folder, state, source
        self._progress = progress
        self.told = Audited(state.origin, order.source, now_ms, before=state.head)

    async def go(self) -> None:
        """Do it all; what the log did wrong becomes findings."""
        state, told, order = self._state, self.told, self._order
        self._take_keys()
        for fault in state.faults:
            told.add("fault", fault.code, fault.message, entry=fault.entry, new=False)
        try:
            if state.evidence:
                self._convicted(new=False)
            else:
                await self._follow(await self._head())
        except Unreachable as error:
            told.add("away", error.code, error.message, error.hint)
        except (ProofError, SignatureError, RemoteError) as error:
            told.add("fault", error.code, error.message, error.hint)
        judge_age(told, state, order.policy, order.max_age_s)
        compare_policy(told, state, order.policy)
        self._folder.save(state)
        told.keys, told.kind, told.checked = state.keys, state.kind, state.checked
        told.types, told.batch, told.gateways = state.fold.types, state.fold.batch, state.fold.gateways

    # ---- keys and the head --------------------------------------------------------------------------------------

    def _take_keys(self) -> None:
        state, given = self._state, [vkey.encode() for vkey in self._order.vkeys]
        if state.head is None:
            state.keys = []  # none of them has verified anything yet: it may have been mistyped
        known = {key.vkey for key in state.keys}
        if known and not known & set(given):
            raise StoreRefused(
                "audit_key",
                f"the state in {self._folder.path} follows {state.origin} by another key than the one given",
                "If the log's owner announced the new key, give the old one as well. If the old one was a mistake, "
                "take another state directory.",
            )
        for vkey in given:
            if vkey not in known:
                state.keys = [*state.keys, Key(vkey)]
                if known:
                    self.told.add(
                        "note", "key_given", f"the key {vkey} is accepted since it was given by hand"
                    )

    def _accepted(self) -> list[VerifierKey]:
        """Keys that may sign a head now: those given, and those an entry brought under a key known before."""
        given = {vkey.encode() for vkey in self._order.vkeys}
        learned = {key.vkey for key in self._state.keys if key.entry is not None}
        return [vkey for vkey in self._state.vkeys if vkey.encode() in given | learned]

    async def _head(self) -> Signed:
        """The head that is served. For a newer one, or its quorum, it asks again as far as patience goes."""
        loop, order, ours = asyncio.get_running_loop(), self._order, self._state.head
        until = loop.time() + order.patience_s
        while True:
            note = await self._source.get(CHECKPOINT, MAX_NOTE_BYTES)
            if note is None:
                raise Unreachable(
                    "head_missing",
                    f"there is no head of a log at {order.source}",
                    "Give the URL below which `checkpoint` and `tile` stand, or the folder of an export.",
                )
            signed = open_head(note, self._state.origin, self._accepted())
            older = ours is not None and signed.checkpoint.size < ours.size
            enough = order.policy is None or order.policy.satisfied(parse_note(note))
            if (enough and not older) or loop.time() + ASK_EVERY_S > until:
                return signed
            await asyncio.sleep(ASK_EVERY_S)

    # ---- following ----------------------------------------------------------------------------------------------

    async def _follow(self, signed: Signed) -> None:
        state, told = self._state, self.told
        checkpoint, ours = signed.checkpoint, state.head
        told.head = head = Head(checkpoint.size, checkpoint.root, signed.note, told.at_ms)
        told.signed_by = [vkey.encode() for vkey in signed.signers]
        if ours is not None and head.size < ours.size:
            await self._older(signed, ours)
            return
        tiles, fork = HeadTiles(self._source, head.size, head.root), None
        if ours is not None and head.size == ours.size:
            fork = same_size(ours, signed, state.vkeys)
        else:
            await tiles.open()
            fork = await later(ours, signed, tiles, state.vkeys) if ours is not None else None
        if fork is not None:
            self._convict(fork)
            return
        same = ours is not None and head.size == ours.size
        if ours is not None and same:
            told.head = head = Head(ours.size, ours.root, signed.note, ours.seen_ms)
        state.head, state.older_ms = head, 0
        if state.checked == head.size:
            state.whole = head
        if not same:
            # Written down before anything else is read: what was seen cannot be taken back.
            self._folder.save(state)
            self._folder.remember(head)
        if ours is None:
            told.add(
                "note", "first", "this is the first head that was seen: the next ones are held against it"
            )
        if self._order.policy is not None:
            judge_quorum(told, self._order.policy, signed.note)
        if self._wanted():
            await self._entries(tiles, head)

    async def _older(self, signed: Signed, ours: Head) -> None:
        state, told = self._state, self.told
        found = await earlier(self._folder, state, signed, self._source)
        if isinstance(found, Fork):
            self._convict(found)
            return
        so_far = (
            "it is one of its earlier heads"
            if found
            else "whether it is one of its earlier ones cannot be told"
        )
        message = (
            f"the log shows a head of {signed.checkpoint.size} entries, after one of {ours.size}: {so_far}"
        )
        if state.older_ms and told.at_ms - state.older_ms >= OLDER_S * 1000:
            told.add(
                "fault",
                "rolled_back",
                f"{message}; it has shown such for a while, so this is no cache",
                "A log never shrinks: ask the clinic whether an old copy or a backup runs. Keep this state.",
            )
            return
        state.older_ms = state.older_ms or told.at_ms
        told.add(
            "late",
            "older_head",
            message,
            "A cache or a copy that lags gives way within a minute; run again. If it stays so, the log was set back.",
        )

    def _convict(self, fork: Fork) -> None:
        self._state.evidence = self._folder.keep_evidence(fork_id(fork), fork.encode())
        self._folder.save(self._state)
        a, b = verify_fork(fork, *self._state.vkeys)
        self._convicted(new=True, of=f", of {a.size} and of {b.size} entries")

    def _convicted(self, *, new: bool, of: str = "") -> None:
        path = self._folder.path / self._state.evidence
        self.told.evidence = str(path)
        self.told.add(
            "fault",
            "forked",
            f"the log signed two heads that cannot both be true{of}; the evidence is in {path}",
            KEEP,
            new=new,
        )

    # ---- entries ------------------------------------------------------------------------------------------------

    def _wanted(self) -> bool:
        if self._order.entries and self._state.kind == OTHER:
            self._other("fault")
        return self._order.entries is not False and self._state.kind != OTHER

    async def _entries(self, tiles: HeadTiles, head: Head) -> None:
        state, told = self._state, self.told
        first, end = state.checked, min(head.size, state.checked + ENTRIES_A_RUN)
        if first == end:
            return
        await tiles.open()
        check = EntryCheck(state, told, self._root_at, self._elsewhere)
        try:
            async with aclosing(tiles.bundles(first, end)) as bundles:
                async for bundle in bundles:
                    if not state.kind and not self._ours(bundle):
                        return
                    self._read(bundle, check)
                    told.read = state.checked - first
                    self._progress("entries", min(told.read, end - first), end - first)
                    if told.read % SAVE_EVERY < TILE_WIDTH:
                        self._folder.save(state)
        finally:
            check.finish()
        if state.checked < head.size:
            told.add(
                "late",
                "unfinished",
                f"{state.checked} of {head.size} entries were read so far",
                "Run again: it goes on from there.",
            )
        elif self._root_at(head.size) != head.root:
            raise self._folder.damaged("its leaf hashes do not lead to the head")
        else:
            state.whole = head

    def _read(self, bundle: Bundle, check: EntryCheck) -> None:
        state, hashes = self._state, self._folder.hashes
        skip = state.checked - bundle.first
        hashes.append(bundle.leaves[skip:])
        for index, data in enumerate(bundle.entries[skip:], state.checked):
            check.entry(index, data)
        state.checked = hashes.size

    def _ours(self, bundle: Bundle) -> bool:
        """Look at the first entry of the log: whether it is to be read on."""
        self._state.kind = OURS if is_ours(bundle.entries[0]) else OTHER
        if self._state.kind == OTHER:
            self._other("fault" if self._order.entries else "note")
        return self._state.kind == OURS

    def _other(self, level: Level) -> None:
        self.told.add(level, "other_log", "its entries are not Vestibule's: only its tree is followed")

    def _root_at(self, size: int) -> bytes:
        return root_from_tiles(self._folder.hashes, size) if size else EMPTY_ROOT

    def _elsewhere(self, origin: str) -> Head | None:
        return last_head(self._order.state_dir, origin)
