"""Key files: made once by `init`, read at each start, closed to others (docs/store-format.md, "Key files").

Log and witness keys stand in the private format of signed notes, which carries their names; the other files hold one
line `vestibule-<purpose>-key/1 <64 hex digits>`. The master file holds a second line while an erase rotates the epoch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError, ProofError
from gateway.keys.seal import KEY_BYTES, hkdf
from gateway.keys.sign import SigningKey
from gateway.store.layout import KEY_NAMES, PRIVATE_DIR, Layout, disk_error, read_private, write_private
from gateway.tlog.note import COSIGNATURE, ED25519, PrivateKey, encode_private, parse_private

MAX_KEY_FILE_BYTES: Final = 4096  # a note key with the longest name has some 400
CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"  # systemd.exec(5), Credentials

RandomBytes = Callable[[int], bytes]
"""How many -> so many fresh random bytes."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of a gateway; its `repr` shows none.

    Args:
        log: signs checkpoints.
        witness: cosigns those of peers.
        entry: signs entries; the gateway's DID.
        tls: proves who we are to peers.
        master: 32 bytes; wraps subject keys.
        origin: the log's name.
        witness_name: the witness's name.
        old_master: the epoch before, while subject keys are being wrapped anew; else empty.
    """

    log: SigningKey
    witness: SigningKey
    entry: SigningKey
    tls: SigningKey
    master: bytes = field(repr=False)
    origin: str
    witness_name: str
    old_master: bytes = field(default=b"", repr=False)

    @property
    def store_key(self) -> bytes:
        """Wraps the devices' keys, and texts without a subject; 32 bytes.

        It follows from the log key, which no erase and no rotation changes, and which is in escrow: a restored
        backup of the database opens with it.
        """
        return hkdf(self.log.seed, b"vestibule/store/v1")


def create_keys(
    layout: Layout,
    origin: str,
    witness_name: str,
    random: RandomBytes = os.urandom,
    *,
    seeds: Mapping[str, bytes] | None = None,
) -> KeyRing:
    """Make the key files that are not there yet; an unfinished `init` goes on with those that are.

    Args:
        layout: where.
        origin: name of the log, never changed afterwards.
        witness_name: name of the witness.
        random: source of the seeds.
        seeds: seeds to take instead, by the names of `KEY_NAMES`: those of an escrow.

    Raises:
        ConfigError: `key_names`, the files that are there have other names; as `load_keys`.
        LocalError: `note_name`.
        StoreError: `disk_full`, `disk_io`.
    """
    given = seeds or {}
    try:
        layout.keys.mkdir(mode=PRIVATE_DIR, parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, "the directory of the keys cannot be made") from error
    for name in KEY_NAMES:
        path = layout.key(name)
        if not os.path.lexists(path):
            seed = given.get(name) or random(KEY_BYTES)
            write_private(path, _text(name, seed, origin, witness_name).encode())
    keys = load_keys(layout, {})
    if (keys.origin, keys.witness_name) != (origin, witness_name):
        raise ConfigError(
            "key_names",
            f"the keys here are those of {keys.origin} and {keys.witness_name}",
            "Give the same names, or another data directory: an origin is never changed.",
        )
    return keys


def load_keys(layout: Layout, environment: Mapping[str, str] = os.environ) -> KeyRing:
    """Read the keys.

    Args:
        layout: where the files are.
        environment: where `CREDENTIALS_DIRECTORY` may name systemd's credentials; `<name>.key` there is preferred.

    Raises:
        ConfigError: `file_missing`, `file_permissions`, `file_unreadable`, `file_size`, `key_file`.
    """
    where = environment.get(CREDENTIALS)
    credentials = Path(where) if where else None
    log = _note_key("log", _read(layout, credentials, "log"), ED25519)
    witness = _note_key("witness", _read(layout, credentials, "witness"), COSIGNATURE)
    masters = _seeds("master", _read(layout, credentials, "master"), most=2)
    return KeyRing(
        log=log.key,
        witness=witness.key,
        entry=SigningKey(_seeds("entry", _read(layout, credentials, "entry"))[0]),
        tls=SigningKey(_seeds("tls", _read(layout, credentials, "tls"))[0]),
        master=masters[0],
        origin=log.name,
        witness_name=witness.name,
        old_master=masters[1] if len(masters) > 1 else b"",
    )


def write_masters(layout: Layout, master: bytes, old_master: bytes = b"") -> None:
    """Write the master file anew; the bytes of the old file are overwritten.

    To rotate the epoch: write (new, old), `Subjects.rotate(new)`, then write (new). Between the steps either key
    opens what it wrapped, so a crash loses nothing; what stands on the medium beyond the file system's reach is
    not promised.

    Args:
        layout: where.
        master: 32 bytes, of the new epoch.
        old_master: of the epoch before, while it is still needed.

    Raises:
        StoreError: `disk_full`, `disk_io`.
    """
    text = _line("master", master) + (_line("master", old_master) if old_master else "")
    write_private(layout.key("master"), text.encode(), replace=True)


def _text(name: str, seed: bytes, origin: str, witness_name: str) -> str:
    if name == "log":
        return encode_private(PrivateKey(origin, ED25519, SigningKey(seed))) + "\n"
    if name == "witness":
        return encode_private(PrivateKey(witness_name, COSIGNATURE, SigningKey(seed))) + "\n"
    return _line(name, seed)


def _line(name: str, seed: bytes) -> str:
    return f"vestibule-{name}-key/1 {seed.hex()}\n"


def _read(layout: Layout, credentials: Path | None, name: str) -> str:
    path, check_mode = layout.key(name), True
    if credentials is not None and (credentials / path.name).is_file():
        # systemd gives access by an ACL, whose mask shows as group permission.
        path, check_mode = credentials / path.name, False
    data = read_private(path, MAX_KEY_FILE_BYTES, check_mode=check_mode)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise _bad(name) from None


def _note_key(name: str, text: str, sig_type: int) -> PrivateKey:
    try:
        private = parse_private(text)
    except ProofError:
        raise _bad(name) from None
    if private.sig_type != sig_type:
        raise _bad(name)
    return private


def _seeds(name: str, text: str, most: int = 1) -> list[bytes]:
    seeds = []
    for line in text.splitlines():
        try:
            seeds.append(bytes.fromhex(line.partition(" ")[2]))
        except ValueError:
            raise _bad(name) from None
    if not 1 <= len(seeds) <= most or "".join(_line(name, seed) for seed in seeds) != text:
        raise _bad(name)
    if any(len(seed) != KEY_BYTES for seed in seeds):
        raise _bad(name)
    return seeds


def _bad(name: str) -> ConfigError:
    # Never a word of what the file holds.
    return ConfigError(
        "key_file",
        f"{name}.key does not hold a {name} key",
        "Put back the file as it was; no command makes key files of an escrow yet.",
    )
