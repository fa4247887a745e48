"""Logs of simulated peers: real Merkle logs with tiles and signed checkpoints, which can be grown and forked.

Keys and entries follow from names alone, so that what is signed or verified in one run need not be signed or verified
again in the next: `quick_signatures` lets the real functions remember what they answered.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256

import pytest

from gateway.keys import sign
from gateway.keys.sign import SigningKey
from gateway.tlog import note as note_module
from gateway.tlog.checkpoint import Checkpoint, sign_checkpoint
from gateway.tlog.merkle import EMPTY_ROOT, Frontier, leaf_hash
from gateway.tlog.note import COSIGNATURE, VerifierKey
from gateway.tlog.tiles import TileWrite, tails_after, tile_updates

REMEMBERED = 1 << 16


@contextlib.contextmanager
def quick_signatures() -> Iterator[None]:
    """Let all machines of a process share what the real `verify` said: 20 peers verify the same signature 20 times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(note_module, "verify", _verify)
        yield


checks = Counter[str]()
"""How often a signature was looked at, remembered or not: what a machine would pay for."""


def _verify(public: bytes, message: bytes, signature: bytes) -> bool:
    checks["signatures"] += 1
    return _remembered(public, message, signature)


_remembered = lru_cache(REMEMBERED)(sign.verify)


class QuickKey(SigningKey):
    """A key that remembers its signatures, which are deterministic."""

    __slots__ = ("_signed",)

    def __init__(self, seed: bytes) -> None:
        super().__init__(seed)
        self._signed: dict[bytes, bytes] = {}

    def sign(self, message: bytes) -> bytes:
        known = self._signed.get(message)
        if known is None:
            if len(self._signed) >= REMEMBERED:
                self._signed.clear()
            known = self._signed[message] = super().sign(message)
        return known


@lru_cache(REMEMBERED)
def key_of(name: str, role: str) -> QuickKey:
    """The key of a peer for one role, always the same."""
    return QuickKey(sha256(f"{role} of {name}".encode()).digest())


def origin_of(name: str, generation: int = 1) -> str:
    """The name of a peer's log."""
    return f"{name}.sim.example/vrlog" + (f"-g{generation}" if generation > 1 else "")


def witness_name(name: str) -> str:
    """The key name of a peer's witness."""
    return f"{name}.sim.example/witness"


@lru_cache(REMEMBERED)
def log_vkey(name: str, generation: int = 1) -> VerifierKey:
    """The key of a peer's log."""
    return VerifierKey.of(origin_of(name, generation), key_of(name, f"log {generation}").public)


@lru_cache(REMEMBERED)
def witness_vkey(name: str) -> VerifierKey:
    """The key of a peer's witness."""
    return VerifierKey.of(witness_name(name), key_of(name, "witness").public, COSIGNATURE)


class Branch:
    """One history of one log: an honest log has one, a liar's has several. Entries and tiles as on disk: a `Shelf`.

    Args:
        name: the peer whose log it is.
        label: what makes the entries of this branch differ from those of others.
        generation: of the log; another is another log, with another key.
    """

    def __init__(self, name: str, label: str = "", generation: int = 1) -> None:
        self.name, self.label, self.generation = name, label, generation
        self.origin = origin_of(name, generation)
        self.data: list[bytes] = []
        self.tiles: dict[tuple[int, int], bytes] = {}
        self.tails: dict[int, bytes] = {}
        self.frontier = Frontier()
        self.roots: list[bytes] = [EMPTY_ROOT]

    @property
    def size(self) -> int:
        """Entries so far."""
        return len(self.data)

    def grow(self, count: int, entry_bytes: int = 0) -> None:
        """Append entries that only this branch of this log has."""
        new = [
            f"{self.origin} {self.label} {index}".encode().ljust(entry_bytes, b".")
            for index in range(self.size, self.size + count)
        ]
        self.adopt(new)

    def fork(self, size: int, label: str) -> Branch:
        """Another history that agrees with this one up to `size`."""
        other = Branch(self.name, label)
        other.adopt(self.data[:size])
        return other

    def adopt(self, entries: list[bytes]) -> list[TileWrite]:
        """Append given entries."""
        leaves = [leaf_hash(entry) for entry in entries]
        writes = tile_updates(self.size, leaves, self.tails)
        self.tails = tails_after(self.tails, writes)
        self.tiles.update({(write.level, write.n): write.data for write in writes})
        self.data += entries
        for leaf in leaves:
            self.frontier.append(leaf)
            self.roots.append(self.frontier.root())
        return writes

    def note(self, size: int | None = None) -> bytes:
        """The signed checkpoint at a size; by default the newest."""
        size = self.size if size is None else size
        return signed(self.name, size, self.roots[size], self.generation)

    # What a Shelf answers.
    def hash_tile(self, level: int, n: int, width: int) -> bytes:
        return self.tiles[level, n][: 32 * width]

    def entries(self, first: int, count: int) -> list[bytes]:
        return self.data[first : first + count]


@lru_cache(REMEMBERED)
def signed(name: str, size: int, root: bytes, generation: int = 1) -> bytes:
    """A checkpoint of a peer's log, whatever it says."""
    origin = origin_of(name, generation)
    return sign_checkpoint(Checkpoint(origin, size, root), origin, key_of(name, f"log {generation}"))
