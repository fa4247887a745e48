"""The shipped mosquitto.conf and ACL, in a real mosquitto: TLS only, known users only, each on its own topics."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from paths import ROOT

from tests.servers import MOSQUITTO, MOSQUITTO_PASSWD, certificate, free_port

# MQTT 5 reason codes (section 2.4 of the standard)
SUCCESS, NO_SUBSCRIBERS, NOT_AUTHORIZED = 0x00, 0x10, 0x87
USERS = {"gw-rig-1": "gateway secret", "dev-rig-1-7": "device secret"}


@dataclass(frozen=True)
class Broker:
    """A running broker: where it listens, and a TLS context that trusts it."""

    port: int
    tls: ssl.SSLContext


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("broker")
    certificate(folder)
    shutil.copy(ROOT / "configs" / "mosquitto.acl", folder / "vestibule.acl")
    (folder / "vestibule.passwd").touch()
    for user, password in USERS.items():
        subprocess.run(
            [str(MOSQUITTO_PASSWD), "-b", str(folder / "vestibule.passwd"), user, password],
            check=True,
            timeout=30,
        )
    port = free_port()
    text = (ROOT / "configs" / "mosquitto.conf").read_text(encoding="utf-8")
    text = re.sub(r"/etc/mosquitto(/certs)?/", f"{folder}/", text)
    text = text.replace("listener 8883", f"listener {port} 127.0.0.1")
    if os.geteuid() == 0:
        # As root it would change to the user mosquitto, who cannot read the test's folder.
        text += "\nuser root\n"
    (folder / "conf.d").mkdir()
    (folder / "conf.d" / "vestibule.conf").write_text(text, encoding="utf-8")
    # As Debian's mosquitto.conf includes it: what that file says already, another line must not say again.
    (folder / "mosquitto.conf").write_text(
        f"persistence true\npersistence_location {folder}/\nlog_dest stderr\ninclude_dir {folder}/conf.d\n",
        encoding="utf-8",
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(MOSQUITTO), "-c", str(folder / "mosquitto.conf")], stdout=log, stderr=log
        )
    tls = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    try:
        deadline = time.monotonic() + 10
        while True:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, (folder / "log").read_text()
        yield Broker(port, tls)
    finally:
        process.terminate()
        process.wait(10)


def text_field(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack(">H", len(data)) + data


def packet(kind: int, body: bytes) -> bytes:
    """One MQTT control packet: first byte, variable length, body."""
    length, rest = b"", len(body)
    while True:
        rest, low = rest >> 7, rest & 0x7F
        length += bytes([low | (0x80 if rest else 0)])
        if not rest:
            return bytes([kind]) + length + body


def answer(sock: ssl.SSLSocket) -> bytes:
    """The body of the next control packet (all answers here are shorter than 128 bytes)."""
    head = sock.recv(2)
    return sock.recv(head[1]) if len(head) == 2 and head[1] else b""


def connect(broker: Broker, user: str, password: str) -> tuple[ssl.SSLSocket, int]:
    """Connect with MQTT 5; return the socket and the CONNACK's reason code."""
    raw = socket.create_connection(("127.0.0.1", broker.port), timeout=10)
    sock = broker.tls.wrap_socket(raw, server_hostname="localhost")
    body = text_field("MQTT") + bytes([5, 0xC2]) + struct.pack(">H", 60) + b"\0" + text_field(f"test-{user}")
    sock.sendall(packet(0x10, body + text_field(user) + text_field(password)))
    return sock, answer(sock)[1]


def publish(sock: ssl.SSLSocket, topic: str, payload: bytes = b"x", *, retain: bool = False) -> int:
    """Publish with QoS 1; return the PUBACK's reason code, -1 where the broker hangs up instead."""
    sock.sendall(packet(0x33 if retain else 0x32, text_field(topic) + b"\0\1" + b"\0" + payload))
    body = answer(sock)
    return -1 if len(body) < 2 or body[:2] != b"\0\1" else body[2] if len(body) > 2 else SUCCESS


def subscribe(sock: ssl.SSLSocket, topic: str) -> int:
    sock.sendall(packet(0x82, b"\0\2" + b"\0" + text_field(topic) + b"\1"))
    return answer(sock)[-1]


@pytest.mark.parametrize(("user", "password"), [("gw-rig-1", "wrong"), ("nobody", "x")])
def test_strangers_are_refused(broker: Broker, user: str, password: str) -> None:
    sock, code = connect(broker, user, password)
    sock.close()
    assert code in {0x86, NOT_AUTHORIZED}


def test_there_is_no_way_in_without_tls(broker: Broker) -> None:
    with socket.create_connection(("127.0.0.1", broker.port), timeout=10) as sock:
        sock.sendall(packet(0x10, text_field("MQTT") + bytes([5, 2]) + b"\0\x3c\0" + text_field("plain")))
        try:
            got = sock.recv(16)
        except ConnectionResetError:
            got = b""
    assert not got.startswith(b"\x20"), "a CONNACK in clear"


@pytest.mark.parametrize(
    ("user", "topic", "allowed"),
    [
        ("dev-rig-1-7", "vestibule/rig-1/hello/7", True),
        ("dev-rig-1-7", "vestibule/rig-1/7/up", True),
        ("dev-rig-1-7", "vestibule/rig-1/8/up", False),
        ("dev-rig-1-7", "vestibule/rig-1/7/down", False),
        ("dev-rig-1-7", "vestibule/rig-2/7/up", False),
        ("gw-rig-1", "vestibule/rig-1/7/down", True),
        ("gw-rig-1", "vestibule/rig-1/7/up", False),
        ("gw-rig-1", "vestibule/rig-2/7/down", False),
    ],
)
def test_each_writes_only_its_own_topics(broker: Broker, user: str, topic: str, allowed: bool) -> None:
    sock, code = connect(broker, user, USERS[user])
    with sock:
        assert code == SUCCESS
        assert publish(sock, topic) in ({SUCCESS, NO_SUBSCRIBERS} if allowed else {NOT_AUTHORIZED})


def test_packets_go_from_device_to_gateway_and_to_nobody_else(broker: Broker) -> None:
    gateway, _ = connect(broker, "gw-rig-1", USERS["gw-rig-1"])
    device, _ = connect(broker, "dev-rig-1-7", USERS["dev-rig-1-7"])
    with gateway, device:
        assert subscribe(gateway, "vestibule/rig-1/+/up") == 1
        assert subscribe(gateway, "vestibule/rig-1/hello/+") == 1
        assert publish(device, "vestibule/rig-1/7/up", b"sealed") == SUCCESS
        assert answer(gateway).endswith(b"sealed")
        assert subscribe(device, "vestibule/rig-1/7/down") == 1


def test_retained_and_oversized_are_refused(broker: Broker) -> None:
    for payload, retain in ((b"x", True), (b"x" * 20_000, False)):
        sock, _ = connect(broker, "dev-rig-1-7", USERS["dev-rig-1-7"])
        with sock:
            assert publish(sock, "vestibule/rig-1/7/up", payload, retain=retain) not in {
                SUCCESS,
                NO_SUBSCRIBERS,
            }
