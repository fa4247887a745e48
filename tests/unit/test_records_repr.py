"""No key and no pairing code is shown by a record's `repr`: a failed test or a debugger would show it to anyone."""

from __future__ import annotations

from gateway.core.records import Device, LinkRecord, Pairing
from gateway.device.pairing import Paired
from gateway.ids import DeviceId, LinkId, RunId, SessionId

SECRETS = [bytes([number]) * 32 for number in (0x41, 0x42, 0x43)]
CODE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def test_keys_and_codes_are_not_shown() -> None:
    device = Device(DeviceId(7), "kit", SECRETS[0], "active", 1, next_key=SECRETS[1])
    link = LinkRecord(
        LinkId(1), DeviceId(7), RunId(1), SessionId(b"s" * 16), "udp", bytes(16), bytes(16), SECRETS[2], 0, b"", b"",
        False, "live", 0,
    )  # fmt: skip
    shown = f"{device!r} {link!r} {Pairing(CODE, 5, name='kit')!r} {Paired(7, SECRETS[0], 'home')!r}"
    assert "device=7" in shown
    assert "kit" in shown
    assert CODE not in shown
    for secret in SECRETS:
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
