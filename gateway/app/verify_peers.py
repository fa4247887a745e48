"""Checks peers.db: what was promised, who signed it, and every byte of every mirror against it.

A mirror is a copy and a promise is not, so their faults have codes of their own: the first are mended by pulling again,
the second only by asking the peers.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.app import config
from gateway.app.report import Findings
from gateway.core.roster import Roster, check_first, check_next, parse_roster
from gateway.errors import ConfigError, Damage, ProofError, RemoteError, SignatureError
from gateway.store.keyfiles import KeyRing
from gateway.store.layout import Layout
from gateway.store.peer_check import mirror_damage, mirror_walk
from gateway.store.peer_rows import LogRow
from gateway.store.peer_snapshot import PeerSnapshot
from gateway.store.snapshot import Snapshot
from gateway.tlog.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from gateway.tlog.fork import fork_id, parse_fork, verify_fork
from gateway.tlog.merkle import EMPTY_ROOT
from gateway.tlog.note import VerifierKey, parse_note, parse_vkey
from gateway.tlog.text import HASH_BYTES
from gateway.tlog.tiles import TILE_WIDTH, root_from_tiles, width_at


def check_peers(layout: Layout, found: Findings, ring: KeyRing | None) -> None:
    """Check peers.db, if there is one, and report to `found`.

    Args:
        layout: of the store.
        found: where to report to.
        ring: the keys that are here; without them our own heads are checked by the roster's alone.

    Raises:
        Damage: the first fault, if that ends the check.
        StoreRefused: it is of another format, or of something else.
        StoreError: `disk_io`, `store_busy`.
    """
    if not layout.peers.exists():
        return
    try:
        with PeerSnapshot(layout.peers) as peers:
            PeerCheck(peers, found, ring, layout).run()
    except Damage as damage:
        if damage.code != "database":
            raise
        found.fault("peers_database", damage.message)


class PeerCheck:
    """One check of peers.db.

    Args:
        peers: the view of it.
        found: where to report to.
        ring: the keys that are here.
        layout: of the store, for its configuration and its own log.
    """

    def __init__(self, peers: PeerSnapshot, found: Findings, ring: KeyRing | None, layout: Layout) -> None:
        self._peers = peers
        self._found = found
        self._ring = ring
        self._layout = layout
        self._vkeys: dict[str, list[VerifierKey]] = {}
        self._unknown = 0

    def run(self) -> None:
        """Check everything; raises as `check_peers`."""
        damaged = [f"SQLite finds peers.db damaged: {line}" for line in self._peers.integrity()]
        damaged += [f"{name} of peers.db is not this release's" for name in self._peers.odd_schema()]
        for what in damaged:
            self._found.fault("peers_database", what)
        if damaged:
            self._found.note(
                "Nothing else of peers.db was checked: what a damaged file gives is not what stands in it."
            )
            return
        for table in self._peers.orphans():
            self._found.fault("peers_database", f"{table} of peers.db has rows of no log", table=table)
        self._check_rosters()
        self._know_others()
        logs = self._peers.logs()
        for row in logs:
            self._found.report.followed += 1
            self._check_head(row)
            self._check_mirror(row)
        self._check_own(logs)
        self._check_forks()
        self._check_cosigned()
        if self._unknown:
            self._found.note(
                f"{self._unknown} notes in peers.db are of logs whose keys are neither in a roster nor in the "
                "configuration here: their signatures were not checked."
            )

    # ---- whose keys -----------------------------------------------------------------------------------------------

    def _check_rosters(self) -> None:
        before: Roster | None = None
        for kept in self._peers.rosters():
            try:
                signed = parse_roster(kept.raw)
                if signed.roster.version != kept.version:
                    raise ProofError("roster", "it is another version")
                if before is None:
                    check_first(signed)
                else:
                    check_next(signed, before)
            except RemoteError as error:
                self._found.fault(
                    "peers_roster", f"version {kept.version} of the roster: {error}", version=kept.version
                )
                return
            before = signed.roster
            for member in before.members:
                self._know(member.log)

    def _know_others(self) -> None:
        if self._ring is not None:
            self._know(self._ring.known_log_vkeys)
        try:
            self._know(map(parse_vkey, config.load(self._layout.config).witness.logs))
        except (ConfigError, ProofError):
            pass  # `vestibule check` tells; here it only means fewer keys

    def _know(self, vkeys: Iterable[VerifierKey]) -> None:
        for vkey in vkeys:
            known = self._vkeys.setdefault(vkey.name, [])
            if vkey not in known:
                known.append(vkey)

    # ---- what was promised ----------------------------------------------------------------------------------------

    def _check_head(self, row: LogRow) -> None:
        if not row.note:
            if (row.size, row.root) != (0, EMPTY_ROOT):
                self._fault("peers_head", row.origin, "a head has no note")
            return
        head = self._open(row.origin, row.note, "peers_head", "the head")
        if head is not None and (head.size, head.root) != (row.size, row.root):
            self._fault("peers_head", row.origin, "the head is not what its note says")

    def _check_own(self, logs: list[LogRow]) -> None:
        """What was told of our own log is in our own log: another copy of the store would have told something else."""
        own = next((row for row in logs if self._ring is not None and row.origin == self._ring.origin), None)
        if own is None or not own.size:
            return
        with Snapshot(self._layout.database) as snapshot:  # newer than what is compared with it
            size = snapshot.head().size
            if own.size > size:
                message = (
                    f"{own.size} entries were told to peers, and the database has {size}: it is an old copy"
                )
                self._found.fault("rolled_back", message, size=size)
                return
            try:
                root = root_from_tiles(snapshot, own.size)
            except (Damage, ProofError):
                return  # told already where the tiles were checked
        if root != own.root:
            message = f"at {own.size} entries another root was told to peers than the entries here give"
            self._found.fault("forked", message, size=own.size)

    def _check_forks(self) -> None:
        for kept in self._peers.forks():
            vkeys = self._vkeys.get(kept.origin, [])
            self._unknown += not vkeys
            try:
                fork = parse_fork(kept.data)
                if fork_id(fork) != kept.id:
                    raise ProofError("fork", "it is not what its name says")
                if parse_checkpoint(parse_note(fork.a).text).origin != kept.origin:
                    raise ProofError("fork", "it is of another log")
                if vkeys:
                    verify_fork(fork, *vkeys)
            except (ProofError, SignatureError) as error:
                self._fault("peers_fork", kept.origin, f"evidence does not hold: {error}", fork=kept.id.hex())
                continue
            self._found.note(
                f"There is evidence against {kept.origin}: it signed two histories, and is frozen here."
            )

    def _check_cosigned(self) -> None:
        kept = self._peers.cosigned()
        if kept is None:
            return
        origin = self._ring.origin if self._ring is not None else ""
        head = self._open(origin, kept.note, "peers_cosigned", "the confirmed head")
        if head is not None and head.size != kept.size:
            self._fault("peers_cosigned", origin, "the confirmed head is not what its note says")

    def _open(self, origin: str, note: bytes, code: str, what: str) -> Checkpoint | None:
        vkeys = self._vkeys.get(origin, [])
        self._unknown += not vkeys
        try:
            if vkeys:
                return open_checkpoint(note, *vkeys)
            head = parse_checkpoint(parse_note(note).text)
            if origin and head.origin != origin:
                raise ProofError("checkpoint_origin", "it is of another log")
            return head
        except (ProofError, SignatureError) as error:
            self._fault(code, origin, f"{what} does not verify: {error}")
            return None

    def _fault(self, code: str, origin: str, what: str, **where: int | str) -> None:
        self._found.fault(code, f"peers.db, {origin}: {what}", log=origin, **where)

    # ---- mirrors --------------------------------------------------------------------------------------------------

    def _check_mirror(self, row: LogRow) -> None:
        found, peers, size = self._found, self._peers, row.tree_size
        if not row.whole_size <= size <= row.size:
            found.damage(mirror_damage(row.origin, "It has more entries than its head", size=size))
            return
        roots = {size: row.tree_root}
        if row.size == size and row.root != row.tree_root:
            found.damage(
                mirror_damage(row.origin, "The whole tree has another root than the head", size=size)
            )
        if row.whole:
            whole = self._open(row.origin, row.whole, "mirror", "the note that is served")
            if whole is not None and whole.size == row.whole_size:
                roots.setdefault(whole.size, whole.root)
            if whole is not None and (whole.size != row.whole_size or roots[whole.size] != whole.root):
                found.damage(mirror_damage(row.origin, "The note that is served is of another tree"))
        elif row.whole_size:
            found.damage(mirror_damage(row.origin, "The note that is served is not there"))
        if not size and row.tree_root != EMPTY_ROOT:
            found.damage(mirror_damage(row.origin, "An empty tree has another root"))
        for number, damages in enumerate(mirror_walk(peers, row.origin, size, roots), 1):
            found.report.mirrored += min(TILE_WIDTH, size - (number - 1) * TILE_WIDTH)
            found.progress("mirrors", min(number * TILE_WIDTH, size), size)
            for damage in damages:
                found.damage(damage)
        if (beyond := peers.entry_beyond(row.origin, size)) is not None:
            found.damage(mirror_damage(row.origin, f"Entry {beyond} lies beyond its end", entry=beyond))
        for level, n, data in peers.iter_tiles(row.origin):
            if level < 0 or n < 0 or len(data) != width_at(size, level, n) * HASH_BYTES or not data:
                found.damage(
                    mirror_damage(row.origin, f"Tile {level}/{n} is wider than its log", level=level, tile=n)
                )
