"""The key file of a device: what `vestibule device add` writes, and what a device without an app of its own keeps.

JSON `{"device", "key", "home", "name", "hello_seq", "host", "port"}`, mode 0600; whatever else stands there is kept.
`hello_seq` is the HELLO counter last used: it is made durable before each HELLO, since a counter that is used twice is
dropped by the gateway (VT1, "Handshake").
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.device.config import DeviceConfig
from gateway.errors import LocalError
from gateway.store.layout import read_private, write_private

MAX_BYTES: Final = 4096  # the file has some 250 bytes; anything much larger is another file by mistake
NEVER: Final = -1
"""`hello_seq` of a device that has sent no HELLO yet."""


class DeviceKey(msgspec.Struct, frozen=True):
    """What a device knows of itself. Other members of the file are passed over: later versions may write more.

    Args:
        device: its number.
        key: K_dev, 64 hexadecimal digits.
        home: the name its HELLO goes to.
        name: what people call it.
        hello_seq: HELLO counter last used; -1 for none.
        host, port: of the gateway's UDP; empty and 0 where the file does not say.
    """

    device: int
    key: str
    home: str
    name: str = ""
    hello_seq: int = NEVER
    host: str = ""
    port: int = 0

    def __repr__(self) -> str:
        return f"DeviceKey(device={self.device}, home={self.home!r})"

    def config(self, run: int, **options: Any) -> DeviceConfig:
        """The configuration of the device machine.

        Args:
            run: u64, random, new at each start.
            options: other fields of `DeviceConfig`.

        Raises:
            LocalError: `device_config`.
        """
        return DeviceConfig(
            self.device, bytes.fromhex(self.key), self.home, hello_seq=self.hello_seq, run=run, **options
        )


def parse(data: bytes) -> DeviceKey:
    """Read a key file's bytes.

    Raises:
        LocalError: `key_file`.
    """
    try:
        made = msgspec.json.decode(data, type=DeviceKey)
        made.config(0)
    except (msgspec.DecodeError, ValueError, UnicodeDecodeError) as error:
        raise _bad("it is no key file") from error
    except LocalError as error:
        raise _bad(error.message) from error
    return made


def of_reply(reply: dict[str, Any]) -> DeviceKey:
    """The key that `device.add`, or `device.rotate` with `show`, of the control socket answered."""
    return DeviceKey(
        reply["device"],
        reply["key"],
        reply["home"],
        str(reply.get("name", "")),
        reply.get("hello_seq", NEVER),
        str(reply.get("host", "")),
        reply.get("port", 0),
    )


def text(key: DeviceKey, others: dict[str, Any] | None = None) -> bytes:
    """A key file's bytes: one line of JSON.

    Args:
        key: what is known here.
        others: members that are not known here, to be kept.
    """
    told = msgspec.structs.asdict(key)
    if not key.port:
        del told["host"], told["port"]
    return msgspec.json.encode({**told, **(others or {})}) + b"\n"


def read(path: Path) -> DeviceKey:
    """Read a key file.

    Raises:
        LocalError: `key_file`; ConfigError: `file_permissions`, `file_unreadable`, `file_size`.
    """
    if not os.path.lexists(path):
        raise LocalError(
            "key_file", f"{path} is not there", "Write one with `vestibule device add --out FILE`."
        )
    return parse(read_private(path, MAX_BYTES))


def write(path: Path, key: DeviceKey, *, replace: bool = False) -> None:
    """Write a key file, whole or not at all, readable by its owner alone.

    Raises:
        StoreError: `file_exists`, `disk_full`, `disk_io`.
    """
    write_private(path, text(key), replace=replace)


class Kept:
    """Makes the HELLO counter and the key of a key file durable; call it with the counter before the HELLO is sent.

    Args:
        path: the key file.
        key: what stands in it.
    """

    def __init__(self, path: Path, key: DeviceKey) -> None:
        self._path = path
        self._key = key
        self._others: dict[str, Any] | None = None

    def __call__(self, hello_seq: int) -> None:
        """Write it down.

        Raises:
            StoreError: it could not be made durable, so the HELLO must not leave.
        """
        self._write(msgspec.structs.replace(self._key, hello_seq=hello_seq))

    def take_key(self, key: bytes) -> None:
        """Write down the next K_dev, before anything is said that uses it; the counter stays as it is.

        Raises:
            StoreError: it could not be made durable, so nothing may be said.
        """
        self._write(msgspec.structs.replace(self._key, key=key.hex()))

    def _write(self, key: DeviceKey) -> None:
        if self._others is None:
            self._others = _others(self._path)
        write_private(self._path, text(key, self._others), replace=True)
        self._key = key


def _others(path: Path) -> dict[str, Any]:
    """Members of a key file that this release does not know: whoever wrote them may need them again."""
    if not os.path.lexists(path):
        return {}
    try:
        members = msgspec.json.decode(read_private(path, MAX_BYTES), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _bad("it is no key file") from error
    return {name: value for name, value in members.items() if name not in DeviceKey.__struct_fields__}


def unkept(hello_seq: int) -> None:
    """For a device that lives no longer than this process: there is nothing to keep."""


def _bad(why: str) -> LocalError:
    return LocalError(
        "key_file", f"the device's key file cannot be used: {why}", "Write one with `vestibule device add`."
    )
