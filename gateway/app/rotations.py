"""The rotations of keys that a log tells of."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.entries.envelope import Body, decode_entry
from gateway.entries.types import check_body
from gateway.errors import WireError
from gateway.store.snapshot import Snapshot

TYPE = "key.rotate"


@dataclass(frozen=True, slots=True)
class Rotation:
    """One of them; its signatures are not verified here.

    Args:
        index: of the entry.
        role: `log`, `witness`, `entry` or `tls`.
        old, new: as the entry writes them.
    """

    index: int
    role: str
    old: str
    new: str


def rotations_of(snapshot: Snapshot) -> list[Rotation]:
    """All of them, oldest first. One look at every entry, in the database.

    Raises:
        StoreError: `disk_io`.
        Damage: `database`.
    """
    found = []
    for index, data in snapshot.entries_with(f'"type":"{TYPE}"'.encode()):
        try:
            body = decode_entry(data).body
            if check_body(body) == TYPE:
                found.append(rotation_of(index, body))
        except WireError:
            continue  # `verify` names it
    return found


def rotation_of(index: int, body: Body) -> Rotation:
    """What a `key.rotate` body that `check_body` let pass says."""
    return Rotation(index, str(body["role"]), str(body["old"]), str(body["new"]))


def first_gateway(found: list[Rotation], now: str) -> str:
    """The DID under which a log began whose gateway is `now`."""
    for rotation in reversed(found):
        if rotation.role == "entry" and rotation.new == now:
            now = rotation.old
    return now
