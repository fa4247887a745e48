"""A transparency log written apart from `gateway`: what a monitor must be able to follow, and to convict.

It shares no code with Vestibule: hashlib, json, and the Ed25519 of `cryptography`. Trees are built by the recursive
definitions of RFC 6962, files by C2SP tlog-tiles, notes by C2SP signed-note. A test that follows this log shows that
the monitor reads the specifications, and not only what Vestibule writes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

DIGITS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def jcs(value: Any) -> bytes:
    """RFC 8785, for texts in ASCII and integers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class Key:
    """An Ed25519 key with a name, as signed notes know it.

    Args:
        name: of the key.
        seed: any text.
        kind: 1 signs for a log, 4 cosigns as a witness.
    """

    def __init__(self, name: str, seed: str, kind: int = 1) -> None:
        self.name, self.kind = name, kind
        self.private = Ed25519PrivateKey.from_private_bytes(digest(seed.encode()))
        self.public = self.private.public_key().public_bytes_raw()
        self.id = digest(name.encode() + b"\n" + bytes([kind]) + self.public)[:4]

    @property
    def vkey(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64(bytes([self.kind]) + self.public)}"

    @property
    def did(self) -> str:
        number, text = int.from_bytes(b"\xed\x01" + self.public, "big"), ""
        while number:
            number, rest = divmod(number, 58)
            text = DIGITS[rest] + text
        return "did:key:z" + text

    def line(self, text: str, time_s: int = 0) -> str:
        """The signature line over a note's text."""
        blob = b""
        if self.kind == 4:
            blob = time_s.to_bytes(8, "big")
            text = f"cosignature/v1\ntime {time_s}\n{text}"
        return f"— {self.name} {b64(self.id + blob + self.private.sign(text.encode()))}\n"


class ForeignLog:
    """A log in memory.

    Args:
        origin: its name.
        entries: leaf data.
        key: signs its heads; one of its name where none is given.
    """

    def __init__(
        self, origin: str = "foreign.example/log", entries: Iterable[bytes] = (), key: Key | None = None
    ) -> None:
        self.origin = origin
        self.key = key or Key(origin, origin)
        self.entries = list(entries)
        self._roots: dict[tuple[int, int], bytes] = {}

    def copy(self, size: int | None = None) -> ForeignLog:
        """Another log with the same key and beginning."""
        return ForeignLog(self.origin, self.entries[:size], self.key)

    def subtree(self, start: int, end: int) -> bytes:
        """MTH of entries start..end-1."""
        if end - start == 0:
            return digest(b"")
        if end - start == 1:
            return digest(b"\0" + self.entries[start])
        if (start, end) not in self._roots:
            half = 1
            while 2 * half < end - start:
                half *= 2
            both = self.subtree(start, start + half) + self.subtree(start + half, end)
            self._roots[start, end] = digest(b"\1" + both)
        return self._roots[start, end]

    def text(self, size: int | None = None, root: bytes | None = None) -> str:
        size = len(self.entries) if size is None else size
        return f"{self.origin}\n{size}\n{b64(root or self.subtree(0, size))}\n"

    def note(
        self,
        size: int | None = None,
        keys: Iterable[Key] = (),
        witnesses: Iterable[Key] = (),
        time_s: int = 1,
        root: bytes | None = None,
    ) -> bytes:
        """A signed head.

        Args:
            size: of the log; all of it where none is given.
            keys: of the log; its own where none is given.
            witnesses: that cosign.
            time_s: when they do.
            root: a lie.
        """
        text = self.text(size, root)
        lines = [key.line(text) for key in (tuple(keys) or (self.key,))]
        lines += [key.line(text, time_s) for key in witnesses]
        return (text + "\n" + "".join(lines)).encode()

    def files(self, size: int | None = None) -> dict[str, bytes]:
        """Tiles and bundles at a size, by their paths."""
        size = len(self.entries) if size is None else size
        there: dict[str, bytes] = {}
        for start in range(0, size, 256):
            part = self.entries[start : min(start + 256, size)]
            bundle = b"".join(len(one).to_bytes(2, "big") + one for one in part)
            there[path("entries", start // 256, len(part))] = bundle
        level, step = 0, 1
        while size // step:
            for n in range(-(-(size // step) // 256)):
                numbers = range(256 * n, min(256 * (n + 1), size // step))
                hashes = [self.subtree(step * i, step * (i + 1)) for i in numbers]
                there[path(level, n, len(hashes))] = b"".join(hashes)
            level, step = level + 1, step * 256
        return there

    def write(self, folder: Path, note: bytes | None = None, size: int | None = None) -> Path:
        """Write it as static files, in place of what stands there."""
        shutil.rmtree(folder, ignore_errors=True)
        for name, data in [*self.files(size).items(), ("checkpoint", note or self.note(size))]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder


def path(level: int | str, n: int, width: int) -> str:
    digits = f"{n:03}"
    while len(digits) % 3:
        digits = "0" + digits
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    number = "/".join(["x" + group for group in groups[:-1]] + groups[-1:])
    return f"tile/{level}/{number}" + ("" if width == 256 else f".p/{width}")


class Clinic:
    """A log of Vestibule's entries, made here.

    Args:
        origin: of the log.
    """

    def __init__(self, origin: str = "clinic.example/rig-1") -> None:
        self.log = ForeignLog(origin)
        self.entry_key = Key("entry", f"entry of {origin}")
        self.at_ms = 1_700_000_000_000
        self.batch = 0
        self.objects: dict[str, tuple[int, str]] = {}

    @property
    def did(self) -> str:
        return self.entry_key.did

    def add(self, kind: str, key: Key | None = None, **fields: Any) -> int:
        """Append an entry; returns its index."""
        self.at_ms += 1000
        body = {"type": kind, "gateway": self.did, "at_ms": self.at_ms, **fields}
        signed = (key or self.entry_key).private.sign(b"vestibule/entry/v1\0" + jcs(body))
        self.log.entries.append(jcs({"body": body, "sig": b64u(signed), "v": 1}))
        return len(self.log.entries) - 1

    def batches(self, count: int = 1) -> None:
        for _ in range(count):
            self.batch += 1
            sums = {"parts": 1, "frames": 2, "samples": 3, "refused": 0, "opened_s": 1, "sealed_s": 2}
            self.add("batch", batch=self.batch, root=b64u(digest(b"%d" % self.batch)), **sums)

    def session(self, name: str, event: str, **changed: Any) -> None:
        thing = b64u(digest(name.encode())[:16])
        seq, prev = self.objects.get(thing, (0, ""))
        fields = {
            "object": thing,
            "seq": seq,
            "prev": prev or None,
            "commit": b64u(digest(b"c")),
            "event": event,
        }
        at = self.add("session", **{**fields, **changed})
        body = json.loads(self.log.entries[at])["body"]
        self.objects[thing] = (seq + 1, b64u(digest(jcs(body))))

    def rotate(self, role: str, old: str, new: str, old_key: Key, new_key: Key, **changed: Any) -> int:
        message = {"gateway": self.did, "role": role, "old": old, "new": new}
        signed = b"vestibule/key-rotate/v1\0" + jcs(message)
        by = {"by_old": b64u(old_key.private.sign(signed)), "by_new": b64u(new_key.private.sign(signed))}
        return self.add("key.rotate", **{**message, **by, **changed})
