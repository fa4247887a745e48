"""Key files: made once by `init`, read at each start, closed to others (docs/store-format.md, "Key files").

Log and witness keys stand in the private format of signed notes, which carries their names; the other files hold one
line `vestibule-<purpose>-key/1 <64 hex digits>`. A second line is there while a key is being rotated. The first log key
stays in its file for ever, marked as retired when it signs no more: what wraps devices' keys follows from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError, LocalError, ProofError
from gateway.keys.seal import KEY_BYTES, hkdf
from gateway.keys.sign import SigningKey
from gateway.store.layout import KEY_NAMES, PRIVATE_DIR, Layout, disk_error, read_private, write_private
from gateway.tlog.note import (
    COSIGNATURE,
    ED25519,
    PrivateKey,
    VerifierKey,
    encode_private,
    parse_private,
)

MAX_KEY_FILE_BYTES: Final = 4096  # a note key with the longest name has some 400
CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"  # systemd.exec(5), Credentials
ESCROWED: Final = ("log", "witness", "entry", "tls")
"""Files that say who this gateway is; the master key, which opens recordings, is not one of them."""

_RETIRED: Final = "retired "

RandomBytes = Callable[[int], bytes]
"""How many -> so many fresh random bytes."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of a gateway; its `repr` shows none.

    Args:
        log: signs checkpoints; while the log's key is being rotated the newer of two.
        witness: cosigns those of peers.
        entry: signs entries; the gateway's DID.
        tls: proves who we are to peers.
        master: 32 bytes; wraps subject keys.
        origin: the log's name.
        witness_name: the witness's name.
        old_master: the epoch before, while subject keys are being wrapped anew; else empty.
        old_log: signs checkpoints beside `log` until it is retired; else None.
        first_log: the first key of the log, if it is retired; else None.
        next_witness, next_tls: made by `key rotate`, in use from `key retire` on; else None.
        next_entry: of a rotation that was interrupted; else None.
    """

    log: SigningKey
    witness: SigningKey
    entry: SigningKey
    tls: SigningKey
    master: bytes = field(repr=False)
    origin: str
    witness_name: str
    old_master: bytes = field(default=b"", repr=False)
    old_log: SigningKey | None = None
    first_log: SigningKey | None = None
    next_witness: PrivateKey | None = None
    next_entry: SigningKey | None = None
    next_tls: SigningKey | None = None

    @property
    def store_key(self) -> bytes:
        """Wraps the devices' keys, and texts without a subject; 32 bytes.

        It follows from the first log key, which no erase and no rotation changes, and which is in escrow: a restored
        backup of the database opens with it.
        """
        return hkdf((self.first_log or self.log_keys[0]).seed, b"vestibule/store/v1")

    @property
    def log_keys(self) -> tuple[SigningKey, ...]:
        """Those that sign checkpoints, the older first."""
        return (self.log,) if self.old_log is None else (self.old_log, self.log)

    @property
    def log_vkeys(self) -> tuple[VerifierKey, ...]:
        """By which others verify checkpoints, the older first."""
        return tuple(VerifierKey.of(self.origin, key.public) for key in self.log_keys)

    @property
    def known_log_vkeys(self) -> tuple[VerifierKey, ...]:
        """Those, and one that signed earlier: under which a head is ours, whenever it was signed."""
        first = () if self.first_log is None else (VerifierKey.of(self.origin, self.first_log.public),)
        return first + self.log_vkeys

    @property
    def witness_vkeys(self) -> tuple[VerifierKey, ...]:
        """By which others verify cosignatures: the one in use, then one that is to be."""
        now = VerifierKey.of(self.witness_name, self.witness.public, COSIGNATURE)
        return (now,) if self.next_witness is None else (now, self.next_witness.verifier)

    @property
    def tls_keys(self) -> tuple[SigningKey, ...]:
        """The one in use, then one that is to be."""
        return (self.tls,) if self.next_tls is None else (self.tls, self.next_tls)


def create_keys(
    layout: Layout,
    origin: str,
    witness_name: str,
    random: RandomBytes = os.urandom,
    *,
    files: Mapping[str, str] | None = None,
) -> KeyRing:
    """Make the key files that are not there yet; an unfinished `init` goes on with those that are.

    Args:
        layout: where.
        origin: name of the log, never changed afterwards.
        witness_name: name of the witness.
        random: source of the seeds.
        files: texts of key files to take instead, by the names of `KEY_NAMES`: those of an escrow.

    Raises:
        ConfigError: `key_names`, the files that are there have other names; `key_other`, or another content than
            `files`; as `load_keys`.
        LocalError: `note_name`.
        StoreError: `disk_full`, `disk_io`.
    """
    given = files or {}
    try:
        layout.keys.mkdir(mode=PRIVATE_DIR, parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, "the directory of the keys cannot be made") from error
    for name in KEY_NAMES:
        path = layout.key(name)
        if not os.path.lexists(path):
            text = given.get(name) or first_text(name, random(KEY_BYTES), origin, witness_name)
            write_private(path, text.encode())
        elif name in given and given[name] != _read(layout, None, name):
            raise ConfigError(
                "key_other",
                f"{path.name} is there already, with another key",
                "Name another data directory, or give the escrow with which this one was begun.",
            )
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
    return ring_of({name: _read(layout, credentials, name) for name in KEY_NAMES})


def read_key(layout: Layout, name: str) -> str:
    """The text of one key file, where the others may be lost; raises as `load_keys`.

    Args:
        layout: where.
        name: one of `witness`, `entry`, `tls`.
    """
    text = _read(layout, None, name)
    if name == "witness":
        for line in _lines(name, text):
            _note_key(name, line, COSIGNATURE)
    else:
        _seeds(name, text)
    return text


def witness_name_of(text: str) -> str:
    """The name in the text of a witness' key file that was read."""
    return _note_key("witness", _lines("witness", text)[0], COSIGNATURE).name


def ring_of(texts: Mapping[str, str]) -> KeyRing:
    """The keys in the texts of key files.

    Args:
        texts: of each of `KEY_NAMES`.

    Raises:
        ConfigError: `key_file`.
    """
    first, logs = _log_keys(texts["log"])
    witnesses = [_note_key("witness", line, COSIGNATURE) for line in _lines("witness", texts["witness"])]
    entries, certs, masters = (_seeds(name, texts[name]) for name in ("entry", "tls", "master"))
    return KeyRing(
        log=logs[-1].key,
        witness=witnesses[0].key,
        entry=SigningKey(entries[0]),
        tls=SigningKey(certs[0]),
        master=masters[0],
        origin=logs[0].name,
        witness_name=witnesses[0].name,
        old_master=masters[1] if len(masters) > 1 else b"",
        old_log=logs[0].key if len(logs) > 1 else None,
        first_log=first.key if first else None,
        next_witness=witnesses[1] if len(witnesses) > 1 else None,
        next_entry=SigningKey(entries[1]) if len(entries) > 1 else None,
        next_tls=SigningKey(certs[1]) if len(certs) > 1 else None,
    )


def first_text(name: str, seed: bytes, origin: str = "", witness_name: str = "") -> str:
    """What a key file holds when it is made.

    Args:
        name: one of `KEY_NAMES`.
        seed: 32 bytes.
        origin, witness_name: names of the log and witness keys.

    Raises:
        LocalError: `note_name`.
    """
    if name == "log":
        return _note_line(origin, ED25519, SigningKey(seed))
    if name == "witness":
        return _note_line(witness_name, COSIGNATURE, SigningKey(seed))
    return _line(name, seed)


def key_text(keys: KeyRing, name: str) -> str:
    """What the key file of this name holds.

    Args:
        keys: of the gateway.
        name: one of `ESCROWED`.
    """
    if name == "log":
        first = "" if keys.first_log is None else _RETIRED + _note_line(keys.origin, ED25519, keys.first_log)
        return first + "".join(_note_line(keys.origin, ED25519, key) for key in keys.log_keys)
    if name == "witness":
        text = _note_line(keys.witness_name, COSIGNATURE, keys.witness)
        return text + (encode_private(keys.next_witness) + "\n" if keys.next_witness else "")
    now, following = (keys.entry, keys.next_entry) if name == "entry" else (keys.tls, keys.next_tls)
    return "".join(_line(name, key.seed) for key in (now, following) if key is not None)


def write_key(layout: Layout, keys: KeyRing, name: str) -> None:
    """Write a key file anew; the bytes of the old file are overwritten.

    Args:
        layout: where.
        keys: as they are to be read from now on.
        name: one of `ESCROWED`.

    Raises:
        StoreError: `disk_full`, `disk_io`.
        LocalError: `key_credential`, what is written here is not what a start reads.
    """
    where = os.environ.get(CREDENTIALS)
    if where and (Path(where) / layout.key(name).name).is_file():
        raise LocalError(
            "key_credential",
            f"{name}.key comes from the credentials directory, which this program does not write",
            "Run this where the key file is, and encrypt the new file for the service.",
        )
    write_private(layout.key(name), key_text(keys, name).encode(), replace=True)


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


def _note_line(name: str, sig_type: int, key: SigningKey) -> str:
    return encode_private(PrivateKey(name, sig_type, key)) + "\n"


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


def _log_keys(text: str) -> tuple[PrivateKey | None, list[PrivateKey]]:
    """The first key, if it is retired, and those that sign."""
    lines = _lines("log", text, most=3)
    first = None
    if lines[0].startswith(_RETIRED):
        first = _note_key("log", lines.pop(0).removeprefix(_RETIRED), ED25519)
    keys = [_note_key("log", line, ED25519) for line in lines]
    if not 1 <= len(keys) <= 2 or len({key.name for key in (*keys, *([first] if first else []))}) > 1:
        raise _bad("log")
    return first, keys


def _lines(name: str, text: str, most: int = 2) -> list[str]:
    # The last line end may be missing, as editors have it.
    lines = text.removesuffix("\n").split("\n")
    if len(lines) > most:
        raise _bad(name)
    return lines


def _note_key(name: str, text: str, sig_type: int) -> PrivateKey:
    try:
        private = parse_private(text)
    except ProofError:
        raise _bad(name) from None
    if private.sig_type != sig_type:
        raise _bad(name)
    return private


def _seeds(name: str, text: str) -> list[bytes]:
    seeds = []
    for line in text.splitlines():
        try:
            seeds.append(bytes.fromhex(line.partition(" ")[2]))
        except ValueError:
            raise _bad(name) from None
    if not 1 <= len(seeds) <= 2 or "".join(_line(name, seed) for seed in seeds) != text:
        raise _bad(name)
    if any(len(seed) != KEY_BYTES for seed in seeds):
        raise _bad(name)
    return seeds


def _bad(name: str) -> ConfigError:
    # Never a word of what the file holds.
    return ConfigError(
        "key_file",
        f"{name}.key does not hold a {name} key",
        "Put back the file as it was; `vestibule ledger restore` makes key files of an escrow, in a new store.",
    )
