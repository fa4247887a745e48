"""`vestibule key rotate` and `key retire`: another key takes the place of one, in a planned way, with the log going on.

Guards two rules: the new key is on disk before the log names it, and the old and the new key both sign that. Offline,
because a key in use is in memory. What others verify with is in the roster: which lists both for a time.

log      both sign from the rotation on, until the older one is retired
entry    the new one at once; the entry that says so is the last one that the old key signs
witness  the old one, until it is retired: peers must know the new one first
tls      the same
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from gateway.app.cycle import Cycle, commit
from gateway.app.guard import Answer, Get, Source, ask_witnesses
from gateway.app.rotations import Rotation, rotations_of
from gateway.app.startup import keys_to_sign, open_store
from gateway.core.ledger import Ledger
from gateway.core.records import Writes
from gateway.entries.envelope import b64u
from gateway.entries.rotation import Role, sign_rotation
from gateway.entries.types import rotate_body
from gateway.errors import LocalError
from gateway.keys.did import did_key
from gateway.keys.seal import KEY_BYTES
from gateway.keys.sign import SigningKey
from gateway.net.peer_tls import certificate
from gateway.store.keyfiles import KeyRing, RandomBytes, load_keys, write_key
from gateway.store.layout import Layout
from gateway.store.lock import StoreLock
from gateway.store.snapshot import Snapshot
from gateway.tlog.note import COSIGNATURE, PrivateKey, VerifierKey

_NUMBERED = re.compile(r"(.*)-([1-9][0-9]{0,5})", re.S)

EXPLAINED: Final[dict[Role, str]] = {
    "log": "the log key, which signs heads. From the next start both keys sign, so that whoever knows one of them goes "
    "on verifying. When all know the new one, retire the old one",
    "entry": "the entry key, which signs entries and names this gateway (DID). The next entry names the new one, and "
    "both sign that; all later ones are signed by the new one alone",
    "witness": "the witness key, which cosigns the logs of peers. The old one goes on cosigning until you retire it, "
    "so that peers can learn the new one first",
    "tls": "the TLS key, by which peers know this gateway. The old one stays in use until you retire it, so that "
    "peers can learn the new one first",
}
"""What a rotation does, in words."""
RETIRED: Final[dict[Role, str]] = {
    "log": "From the next start only the new log key signs heads. Whoever knows only the old one can verify no newer "
    "head. Do it when the roster has listed both for some days and everybody who verifies has the new key",
    "witness": "From the next start the new witness key cosigns, and the old one is destroyed. Do it when the roster "
    "lists both and all peers have that version",
    "tls": "From the next start the new TLS key is used, and the old one is destroyed. Do it when the roster lists "
    "both and all peers have that version: a peer that does not know it refuses every connection",
}
"""What retiring does, in words."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """What was done, or would be.

    Args:
        role: of the key.
        old, new: as the entry writes them; empty where a new one is only to be made.
        entry: index of the entry that tells of it; -1 where none was written.
        answers: who was asked whether this log went on elsewhere, and what they said.
    """

    role: Role
    old: str
    new: str
    entry: int = -1
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True, slots=True)
class _Change:
    """Keys with a new one beside the old one."""

    keys: KeyRing
    old: SigningKey
    new: SigningKey
    old_text: str
    new_text: str


async def rotate_key(
    layout: Layout,
    role: Role,
    sources: Sequence[Source],
    get: Get,
    confirm: Callable[[str], bool],
    random: RandomBytes,
    *,
    signed: bytes = b"",
    dry_run: bool = False,
) -> Rotated:
    """Put a new key beside one, or in its place, and write the entry that says so.

    Args:
        layout: of the store; nothing else may use it.
        role: which key.
        sources, get: whom to ask whether this log went on elsewhere, and how: an entry is signed.
        confirm: asks the operator; never answer it by a default.
        random: source of the new key.
        signed: the newest of our own notes that is on record; empty for none.
        dry_run: change nothing.

    Raises:
        LocalError: `rotation_open`, the one before is not retired; `not_confirmed`; `key_credential`.
        StoreRefused: as `open_store`; `rolled_back`, as others say.
        StoreError: `locked`, `disk_full`, `disk_io`.
        ConfigError: as `load_keys`.
    """
    with StoreLock(layout.lock):
        keys = keys_to_sign(layout, rotating=True)
        with Snapshot(layout.database) as snapshot:
            name, told = snapshot.meta("gateway") or "", rotations_of(snapshot)
            report = await ask_witnesses(
                keys.origin, keys.known_log_vkeys, snapshot.head(), snapshot, sources, get, signed
            )
    if report.refusal is not None:
        raise report.refusal
    begun = _begun(keys, role, name)
    done = begun is not None and _is_told(told, role, begun.new_text)
    if done and role != "entry":
        raise LocalError(
            "rotation_open",
            f"the {role} key was rotated, and the old one is not retired",
            f"Retire it first: `vestibule key retire {role}`.",
        )
    if dry_run:
        return Rotated(role, _text(role, _current(keys, role), keys, name), "", answers=report.answers)
    if not confirm(f"This changes {EXPLAINED[role]}. {report.said} Change it?"):
        raise LocalError("not_confirmed", "no key was changed", "Nothing was changed.")
    store = await open_store(layout, rotating=True)
    try:
        change = begun or _change(store.keys, role, name, SigningKey(random(KEY_BYTES)))
        if begun is None:
            write_key(layout, change.keys, role)
        entry = -1
        if not done:
            # Signed by the keys of before: the old entry key's last one, where that is what changes.
            ledger = Ledger(
                store.keys.origin, store.keys.log_keys, store.keys.entry, store.frontier, store.tails
            )
            by_old, by_new = b"", b""
            if role != "tls":
                by_old, by_new = sign_rotation(
                    ledger.gateway, role, change.old_text, change.new_text, change.old, change.new
                )
            now_ms = time.time_ns() // 1_000_000
            body = rotate_body(ledger.gateway, now_ms, role, change.old_text, change.new_text, by_old, by_new)
            entry, plan = ledger.size, ledger.plan([body])
            await commit(store.disk, Cycle(Writes(), store.boot, plan=plan))
        if role == "entry":
            write_key(layout, replace(change.keys, entry=change.new, next_entry=None), role)
    finally:
        await store.close()
    return Rotated(role, change.old_text, change.new_text, entry, report.answers)


def retire_key(
    layout: Layout, role: Role, confirm: Callable[[str], bool], *, dry_run: bool = False
) -> Rotated:
    """Give up the older of two keys.

    Args:
        layout: of the store; nothing else may use it.
        role: `log`, `witness` or `tls`.
        confirm: asks the operator; never answer it by a default.
        dry_run: change nothing.

    Raises:
        LocalError: `no_rotation`, there is one key only, or the log does not tell of the new one; `not_confirmed`.
        StoreError: `locked`, `disk_full`, `disk_io`.
        ConfigError: as `load_keys`.
    """
    with StoreLock(layout.lock):
        keys = load_keys(layout)
        with Snapshot(layout.database) as snapshot:
            name, told = snapshot.meta("gateway") or "", rotations_of(snapshot)
        begun = _begun(keys, role, name)
        if role == "entry" or begun is None or not _is_told(told, role, begun.new_text):
            raise LocalError(
                "no_rotation",
                f"there is no other {role} key that the log tells of",
                f"Make one with `vestibule key rotate {role}`."
                if role != "entry"
                else "See `vestibule key --help`.",
            )
        rotated = Rotated(role, begun.old_text, begun.new_text)
        if dry_run:
            return rotated
        if not confirm(f"{RETIRED[role]}. Retire the old one?"):
            raise LocalError("not_confirmed", "no key was retired", "Nothing was changed.")
        if role == "log":
            # The first of all stays in the file: what wraps devices' keys follows from it.
            after = replace(keys, first_log=keys.first_log or keys.old_log, old_log=None)
        elif role == "witness":
            assert keys.next_witness is not None
            key, witness_name = keys.next_witness.key, keys.next_witness.name
            after = replace(keys, witness=key, witness_name=witness_name, next_witness=None)
        else:
            assert keys.next_tls is not None
            after = replace(keys, tls=keys.next_tls, next_tls=None)
        write_key(layout, after, role)
        return rotated


def _current(keys: KeyRing, role: Role) -> SigningKey:
    return {"log": keys.log, "entry": keys.entry, "witness": keys.witness, "tls": keys.tls}[role]


def _begun(keys: KeyRing, role: Role, name: str) -> _Change | None:
    """Two keys that are there already; None where there is one."""
    following = {
        "log": keys.log if keys.old_log is not None else None,
        "entry": keys.next_entry,
        "witness": keys.next_witness.key if keys.next_witness is not None else None,
        "tls": keys.next_tls,
    }[role]
    if following is None:
        return None
    old = keys.log_keys[0] if role == "log" else _current(keys, role)
    return _Change(
        keys, old, following, _text(role, old, keys, name), _text(role, following, keys, name, new=True)
    )


def _change(keys: KeyRing, role: Role, name: str, new: SigningKey) -> _Change:
    if role == "log":
        after = replace(keys, log=new, old_log=keys.log)
    elif role == "entry":
        after = replace(keys, next_entry=new)
    elif role == "witness":
        found = _NUMBERED.fullmatch(keys.witness_name)
        witness_name = f"{found[1]}-{int(found[2]) + 1}" if found else f"{keys.witness_name}-2"
        after = replace(keys, next_witness=PrivateKey(witness_name, COSIGNATURE, new))
    else:
        after = replace(keys, next_tls=new)
    change = _begun(after, role, name)
    assert change is not None
    return change


def _text(role: Role, key: SigningKey, keys: KeyRing, name: str, *, new: bool = False) -> str:
    """A key as the entry writes it."""
    if role == "log":
        return VerifierKey.of(keys.origin, key.public).encode()
    if role == "entry":
        return did_key(key.public)
    if role == "witness":
        if new and keys.next_witness is not None:
            return keys.next_witness.verifier.encode()
        return VerifierKey.of(keys.witness_name, key.public, COSIGNATURE).encode()
    return b64u(sha256(certificate(key, name)).digest())


def _is_told(told: Sequence[Rotation], role: Role, new: str) -> bool:
    return any((rotation.role, rotation.new) == (role, new) for rotation in told)
