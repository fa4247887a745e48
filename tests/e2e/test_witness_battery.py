"""A strict battery for any witness of C2SP tlog-witness v1.0.0, over HTTP, check by check from its specification.

It shares no code with what it tests: notes, keys, trees and proofs are written here a second time, from signed-note,
tlog-checkpoint, tlog-cosignature and RFC 6962, over the standard library and `cryptography`. To point it at another
witness, write a `Factory`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from e2e.daemon import Gateway
from paths import ROOT
from servers import free_port

from gateway.store.keyfiles import load_keys

pytestmark = pytest.mark.slow

LOGS = 96
"""How many logs the witness is told of; each check takes fresh ones, so that none depends on another."""
PARALLEL = 50
WAIT_S = 15.0


# ---- notes, keys and trees, written a second time -------------------------------------------------------------------


def b64(data: bytes) -> str:
    return base64.standard_b64encode(data).decode()


class Key:
    """An Ed25519 key with a name and a signature type."""

    def __init__(self, name: str, kind: int = 1, seed: bytes | None = None) -> None:
        self.name, self.kind = name, kind
        self.seed = secrets.token_bytes(32) if seed is None else seed
        self.private = Ed25519PrivateKey.from_private_bytes(self.seed)
        self.public = self.private.public_key().public_bytes_raw()
        self.id = hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + self.public).digest()[:4]

    @property
    def vkey(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64(bytes([self.kind]) + self.public)}"

    def line(self, text: str, name: str | None = None, key_id: bytes | None = None) -> str:
        """A signature line over a text; name and id may be given otherwise."""
        signature = self.private.sign(text.encode())
        return f"\u2014 {name or self.name} {b64((key_id or self.id) + signature)}\n"

    def cosignature(self, text: str, at_s: int) -> str:
        signature = self.private.sign(f"cosignature/v1\ntime {at_s}\n{text}".encode())
        return f"\u2014 {self.name} {b64(self.id + at_s.to_bytes(8, 'big') + signature)}\n"


@dataclass(frozen=True)
class Vkey:
    """A witness' verifier key."""

    name: str
    id: bytes
    public: bytes

    @classmethod
    def parse(cls, text: str) -> Vkey:
        name, key_id, key = text.split("+", 2)
        blob = base64.b64decode(key)
        assert blob[0] == 4
        assert len(blob) == 33
        assert hashlib.sha256(name.encode() + b"\n" + blob).digest()[:4].hex() == key_id
        return cls(name, bytes.fromhex(key_id), blob[1:])

    def time_of(self, line: str, text: str) -> int:
        """Verify a cosignature line; returns its time."""
        assert line.endswith("\n")
        dash, name, blob_text = line[:-1].split(" ")
        assert (dash, name) == ("\u2014", self.name)
        blob = base64.b64decode(blob_text, validate=True)
        assert b64(blob) == blob_text
        assert blob[:4] == self.id
        assert len(blob) == 4 + 8 + 64
        at_s = int.from_bytes(blob[4:12], "big")
        Ed25519PublicKey.from_public_bytes(self.public).verify(
            blob[12:], f"cosignature/v1\ntime {at_s}\n{text}".encode()
        )
        return at_s


def leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\0" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def split(size: int) -> int:
    """The largest power of two below size."""
    power = 1
    while power * 2 < size:
        power *= 2
    return power


def root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    at = split(len(leaves))
    return node(root(leaves[:at]), root(leaves[at:]))


def proof(old: int, leaves: Sequence[bytes], whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 6962, section 2.1.2."""
    size = len(leaves)
    if old == size:
        return [] if whole else [root(leaves)]
    at = split(size)
    if old <= at:
        return [*proof(old, leaves[:at], whole), root(leaves[at:])]
    return [*proof(old - at, leaves[at:], False), root(leaves[:at])]


class Log:
    """A log with its key. Another history of it is a `Log` with the same key."""

    def __init__(self, key: Key, leaves: Sequence[bytes] = ()) -> None:
        self.key, self.origin = key, key.name
        self.leaves = list(leaves)

    def grow(self, count: int, label: str = "") -> Log:
        self.leaves += [leaf(f"{label} {len(self.leaves) + number}".encode()) for number in range(count)]
        return self

    def fork(self, size: int, count: int) -> Log:
        return Log(self.key, self.leaves[:size]).grow(count, "other")

    @property
    def size(self) -> int:
        return len(self.leaves)

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.origin.encode()).hexdigest()

    def text(self, size: int, more: Sequence[str] = (), root_text: str | None = None) -> str:
        root_text = b64(root(self.leaves[:size])) if root_text is None else root_text
        return "".join(f"{line}\n" for line in (self.origin, size, root_text, *more))

    def proof(self, old: int, size: int) -> list[bytes]:
        return proof(old, self.leaves[:size]) if 0 < old <= size else []


def body_of(old: int | str, hashes: Sequence[bytes], text: str, *lines: str) -> bytes:
    head = f"old {old}\n" + "".join(f"{b64(digest)}\n" for digest in hashes)
    return f"{head}\n{text}\n{''.join(lines)}".encode()


# ---- the witness under test -----------------------------------------------------------------------------------------


class Target(Protocol):
    """A witness that runs."""

    url: str
    """Submission and monitoring prefix."""
    vkey: str

    def crash(self) -> None:
        """SIGKILL; comes back when it is gone."""
        ...

    def start(self) -> None:
        """Start it again, with what it had; comes back when it answers."""
        ...


Factory = Callable[[Path, list[str]], AbstractContextManager[Target]]
"""(empty folder, verifier keys of the logs to follow) -> a witness that follows them."""


class AppTarget:
    """tests/e2e/witness_app.py."""

    def __init__(self, folder: Path, vkeys: list[str]) -> None:
        key = Key("witness.battery.example/w", 4)
        self.folder, self.vkey, self.port = folder, key.vkey, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "logs").write_text("".join(f"{vkey}\n" for vkey in vkeys))
        private = f"PRIVATE+KEY+{key.name}+{key.id.hex()}+{b64(bytes([4]) + key.seed)}\n"
        (folder / "key").write_text(private)
        self.process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.e2e.witness_app", str(self.folder), str(self.port)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
        with (self.folder / "errors").open("ab") as errors:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
            )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", (self.folder / "errors").read_text()

    def crash(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(WAIT_S)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.contextmanager
def app(folder: Path, vkeys: list[str]) -> Iterator[Target]:
    target = AppTarget(folder, vkeys)
    try:
        yield target
    finally:
        target.crash()


class DaemonTarget:
    """The gateway itself, on its plain HTTP listener."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.url = f"http://127.0.0.1:{gateway.http_port}"
        self.start()
        keys = load_keys(gateway.layout)
        self.vkey = keys.witness_vkeys[0].encode()

    def start(self) -> None:
        self.gateway.start()
        where = urlsplit(self.url)

        def answers() -> bool:
            # it asks its peers what it promised before it cosigns anything
            connection = http.client.HTTPConnection("127.0.0.1", where.port, timeout=WAIT_S)
            connection.request("POST", "/add-checkpoint", b"")
            status = connection.getresponse().status
            connection.close()
            return status != 503

        self.gateway.until(answers, "the witness answers")

    def crash(self) -> None:
        self.gateway.kill9()


@contextlib.contextmanager
def daemon(folder: Path, vkeys: list[str]) -> Iterator[Target]:
    listen = f"127.0.0.1:{free_port()}"
    peers = {"enabled": True, "listen": listen, "url": f"https://{listen}"}
    gateway = Gateway(folder / "d", config={"peers": peers, "witness": {"logs": vkeys}})
    try:
        yield DaemonTarget(gateway)
    finally:
        if gateway.process is not None and gateway.process.poll() is None:
            gateway.stop()


FACTORIES: dict[str, Factory] = {"app": app, "daemon": daemon}


@dataclass
class Answer:
    status: int
    content_type: str
    body: bytes


@dataclass
class Battery:
    """A target, and fresh logs that it knows."""

    target: Target
    keys: list[Key]
    used: int = 0
    kept: http.client.HTTPConnection | None = None

    @property
    def vkey(self) -> Vkey:
        return Vkey.parse(self.target.vkey)

    def log(self, size: int = 0) -> Log:
        """A log of which the witness has seen nothing."""
        self.used += 1
        return Log(self.keys[self.used - 1]).grow(size)

    def connect(self) -> http.client.HTTPConnection:
        where = urlsplit(self.target.url)
        assert where.hostname is not None
        return http.client.HTTPConnection(where.hostname, where.port, timeout=WAIT_S)

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Ask on the one connection that is kept, as clients should; on another one if that was closed meanwhile."""
        if self.kept is not None:
            try:
                return self.on(self.kept, method, path, body, **headers)
            except (ConnectionError, http.client.HTTPException):
                self.kept.close()
        self.kept = self.connect()
        return self.on(self.kept, method, path, body, **headers)

    def on(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None = None,
        **headers: str,
    ) -> Answer:
        prefix = urlsplit(self.target.url).path.rstrip("/")
        connection.request(method, f"{prefix}/{path}", body, headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers.get("Content-Type", ""), response.read())

    def post(self, body: bytes) -> Answer:
        return self.request("POST", "add-checkpoint", body)

    def at_once(self, bodies: Sequence[bytes]) -> list[Answer]:
        """Submit all of these in parallel, each on a connection of its own, begun at the same moment."""
        barrier = threading.Barrier(len(bodies))

        def one(body: bytes) -> Answer:
            connection = self.connect()
            try:
                barrier.wait(WAIT_S)
                return self.on(connection, "POST", "add-checkpoint", body)
            finally:
                connection.close()

        with ThreadPoolExecutor(len(bodies)) as pool:
            return list(pool.map(one, bodies))

    def submit(self, log: Log, old: int, size: int | None = None, **values: object) -> Answer:
        """Submit a head of a log as it should be done."""
        return self.post(request_of(log, old, log.size if size is None else size, **values))  # type: ignore[arg-type]

    def promise(self, log: Log, size: int) -> None:
        """Have the witness cosign a first head."""
        assert self.submit(log, 0, size).status == 200

    def holds(self, log: Log, size: int) -> None:
        """What the witness promised last of this log is a head of this size: told by 409, without changing anything."""
        wrong = size + 1
        answer = self.post(body_of(wrong, [], *signed(log.key, log.origin, size + 9)))
        assert (answer.status, answer.body) == (409, b"%d\n" % size)

    def cosigned(self, answer: Answer, text: str) -> int:
        """The answer is one cosignature over this text, and nothing else; returns its time."""
        assert answer.status == 200, answer
        told = answer.body.decode()
        assert told.startswith("\u2014 ")
        assert told.endswith("\n")
        assert told.count("\n") == 1
        return self.vkey.time_of(told, text)

    def monitor(self, log: Log) -> Answer:
        return self.request("GET", f"{log.hash}/checkpoint")

    def monitored(self, log: Log) -> int:
        """The size that monitors see; both signatures are checked."""
        answer = self.monitor(log)
        assert answer.status == 200
        text, lines = note_parts(answer.body)
        origin, size, root_text = text.split("\n")[:3]
        assert origin == log.origin
        assert root_text == b64(root(log.leaves[: int(size)]))
        assert log.key.line(text) in lines
        cosignatures = [line for line in lines if line.startswith(f"\u2014 {self.vkey.name} ")]
        assert cosignatures
        for line in cosignatures:
            assert self.vkey.time_of(line, text) > 0
        return int(size)


def signed(key: Key, origin: str, size: int) -> tuple[str, str]:
    """Text and line of a head with a root of nothing that is known."""
    text = f"{origin}\n{size}\n{b64(secrets.token_bytes(32))}\n"
    return text, key.line(text)


def note_parts(note: bytes) -> tuple[str, list[str]]:
    text, lines = note.decode().rsplit("\n\n", 1)
    return text + "\n", lines.splitlines(keepends=True)


def request_of(log: Log, old: int, size: int, hashes: Sequence[bytes] | None = None) -> bytes:
    text = log.text(size)
    return body_of(old, log.proof(old, size) if hashes is None else hashes, text, log.key.line(text))


@pytest.fixture(scope="module", params=sorted(FACTORIES))
def battery(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Battery]:
    run = secrets.token_hex(4)
    keys = [Key(f"log-{number}.{run}.battery.example/log") for number in range(LOGS)]
    with FACTORIES[request.param](tmp_path_factory.mktemp("witness"), [key.vkey for key in keys]) as target:
        yield Battery(target, keys)


# ---- 200: what is cosigned ------------------------------------------------------------------------------------------


def test_01_a_first_head_is_cosigned_without_a_proof(battery: Battery) -> None:
    log = battery.log(5)
    at_s = battery.cosigned(battery.submit(log, 0), log.text(5))
    assert abs(at_s - time.time()) < 60


def test_02_each_step_is_cosigned_with_its_proof(battery: Battery) -> None:
    log = battery.log(70)
    size = 0
    for step in (1, 1, 1, 1, 2, 2, 3, 5, 1, 15, 1, 31, 6):
        assert battery.cosigned(battery.submit(log, size, size + step), log.text(size + step)) > 0
        size += step
    assert size == log.size


def test_03_a_head_that_is_known_is_refreshed_with_a_new_time(battery: Battery) -> None:
    log = battery.log(9)
    first = battery.cosigned(battery.submit(log, 0), log.text(9))
    until = time.monotonic() + WAIT_S
    later = first
    while later == first:
        assert time.monotonic() < until, "the time of a refresh never changes"
        time.sleep(0.05)  # its clock counts seconds, and it need not take a thousand requests in one
        later = battery.cosigned(battery.submit(log, 9), log.text(9))
    assert later > first
    battery.holds(log, 9)


def test_04_the_answer_is_signature_lines_and_nothing_else(battery: Battery) -> None:
    log = battery.log(3)
    answer = battery.submit(log, 0)
    assert answer.body.decode().splitlines() == [
        line for line in answer.body.decode().split("\n") if line.startswith("\u2014 ")
    ]


def test_05_the_cosignature_is_of_type_4_over_the_whole_text(battery: Battery) -> None:
    log = battery.log(3)
    answer = battery.submit(log, 0)
    battery.cosigned(answer, log.text(3))
    for other in (log.text(2), log.text(3, ["more"]), log.text(3)[:-1], log.text(3) + "\n"):
        with pytest.raises(InvalidSignature):
            battery.vkey.time_of(answer.body.decode(), other)


def test_06_extension_lines_are_cosigned_too(battery: Battery) -> None:
    log = battery.log(4)
    text = log.text(4, ["extension 1", "\u2014 looks like a signature", "and a third"])
    battery.cosigned(battery.post(body_of(0, [], text, log.key.line(text))), text)


def test_07_signatures_of_unknown_keys_are_ignored(battery: Battery) -> None:
    log = battery.log(6)
    text = log.text(6)
    stranger = Key("stranger.example/x")
    noise = [
        stranger.line(text),
        stranger.line("something else\n", log.origin),  # the name of the log, another id
        Key("w.example", 4).cosignature(text, 1_700_000_000),
        f"\u2014 future.example {b64(secrets.token_bytes(2424))}\n",
        f"\u2014 {log.origin} {b64(secrets.token_bytes(5))}\n",
    ]
    battery.cosigned(battery.post(body_of(0, [], text, *noise, log.key.line(text), *noise)), text)


def test_08_sixteen_signatures_are_not_too_many(battery: Battery) -> None:
    log = battery.log(6)
    text = log.text(6)
    noise = [Key(f"s{number}.example").line(text) for number in range(15)]
    battery.cosigned(battery.post(body_of(0, [], text, *noise, log.key.line(text))), text)


def test_09_the_empty_log_is_cosigned_and_grows(battery: Battery) -> None:
    log = battery.log(0)
    battery.cosigned(battery.submit(log, 0), log.text(0))
    battery.cosigned(battery.submit(log, 0), log.text(0))
    log.grow(3)
    battery.cosigned(battery.submit(log, 0), log.text(3))
    battery.holds(log, 3)


def test_10_the_largest_size_is_a_size(battery: Battery) -> None:
    log = battery.log(0)
    text = f"{log.origin}\n{2**63 - 1}\n{b64(secrets.token_bytes(32))}\n"
    battery.cosigned(battery.post(body_of(0, [], text, log.key.line(text))), text)


def test_11_the_type_of_the_request_does_not_matter(battery: Battery) -> None:
    log = battery.log(3)
    for content_type in ("", "text/plain", "application/octet-stream", "application/x-www-form-urlencoded"):
        headers = {"Content-Type": content_type} if content_type else {}
        size = log.size - 3
        answer = battery.request(
            "POST", "add-checkpoint", request_of(log, size and size - 1, size or 0), **headers
        )
        assert answer.status == 200
        log.grow(1)


# ---- 404 and 403 ----------------------------------------------------------------------------------------------------


def test_12_an_unknown_log_is_not_found(battery: Battery) -> None:
    unknown = Log(Key("unknown.battery.example/log")).grow(4)
    assert battery.submit(unknown, 0).status == 404
    assert battery.monitor(unknown).status == 404


def test_13_an_unknown_log_is_not_found_whatever_else_is_wrong(battery: Battery) -> None:
    known = battery.log(4)
    unknown = Log(Key("unknown.battery.example/log")).grow(4)
    text = unknown.text(4)
    assert battery.post(body_of(9, [bytes(32)], text, known.key.line(text))).status == 404


def test_14_without_a_signature_of_the_log_it_is_forbidden(battery: Battery) -> None:
    log = battery.log(4)
    text = log.text(4)
    other = battery.log(4)
    for line in (
        Key("stranger.example").line(text),
        other.key.line(text),  # a key that is known, of another log
        Key(log.origin).line(text),  # its name, another key
        Key("w.example", 4).cosignature(text, 1_700_000_000),
    ):
        assert battery.post(body_of(0, [], text, line)).status == 403
    assert battery.monitor(log).status == 404


def test_15_a_known_key_with_a_bad_signature_is_forbidden(battery: Battery) -> None:
    log = battery.log(4)
    text = log.text(4)
    stranger = Key("stranger.example")
    bad = [
        stranger.line(text, log.origin, log.key.id),
        log.key.line(log.text(3)),
        log.key.line(text[:-1]),
        f"\u2014 {log.origin} {b64(log.key.id + bytes(64))}\n",
        f"\u2014 {log.origin} {b64(log.key.id + bytes(63))}\n",
        f"\u2014 {log.origin} {b64(log.key.id + bytes(72))}\n",
    ]
    for line in bad:
        assert battery.post(body_of(0, [], text, line)).status == 403, line


def test_16_a_bad_signature_of_a_known_key_spoils_a_good_one(battery: Battery) -> None:
    log = battery.log(4)
    text = log.text(4)
    good, bad = log.key.line(text), log.key.line(log.text(3))
    assert battery.post(body_of(0, [], text, good, bad)).status == 403
    assert battery.post(body_of(0, [], text, bad, good)).status == 403
    assert battery.post(body_of(0, [], text, good)).status == 200


def test_17_the_same_key_as_another_type_is_another_key(battery: Battery) -> None:
    log = battery.log(4)
    text = log.text(4)
    cosigner = Key(log.origin, 4, log.key.seed)
    assert battery.post(body_of(0, [], text, cosigner.cosignature(text, int(time.time())))).status == 403
    # what it made as type 4 is not a signature of type 1 either, under whatever id
    blob = base64.b64decode(cosigner.cosignature(text, 0).split(" ")[2])[12:]
    assert battery.post(body_of(0, [], text, f"\u2014 {log.origin} {b64(log.key.id + blob)}\n")).status == 403


def test_18_it_is_forbidden_before_sizes_are_looked_at(battery: Battery) -> None:
    log = battery.log(9)
    battery.promise(log, 6)
    text = log.text(4)
    assert battery.post(body_of(9, [bytes(32)], text, Key("stranger.example").line(text))).status == 403
    assert battery.post(body_of(1, [bytes(32)], text, log.key.line(log.text(3)))).status == 403


# ---- 400 ------------------------------------------------------------------------------------------------------------


def test_19_an_old_size_above_the_new_one_is_a_bad_request(battery: Battery) -> None:
    log = battery.log(9)
    assert battery.post(request_of(log, 5, 4, [])).status == 400  # before 409, as nothing was cosigned
    battery.promise(log, 6)
    assert battery.post(request_of(log, 6, 4, [])).status == 400
    assert battery.post(request_of(log, 9, 4, [bytes(32)])).status == 400
    battery.holds(log, 6)


@pytest.mark.parametrize(
    "old",
    [
        "",
        " ",
        "-1",
        "+1",
        "01",
        "00",
        "0x1",
        "1.0",
        "1 ",
        " 1",
        "1\r",
        "one",
        "1e1",
        str(2**64),
        "\u0661",
        "9" * 400,
    ],
)
def test_20_an_old_size_that_is_not_canonical_is_a_bad_request(battery: Battery, old: str) -> None:
    text = (log := Log(battery.keys[-1]).grow(4)).text(4)
    assert battery.post(body_of(old, [], text, log.key.line(text))).status == 400


def test_21_a_body_that_has_no_such_form_is_a_bad_request(battery: Battery) -> None:
    log = battery.log(4)
    text = log.text(4)
    note = f"{text}\n{log.key.line(text)}".encode()
    proof_line = b64(secrets.token_bytes(32)).encode() + b"\n"
    for body in (
        b"",
        b"\n",
        b"\0",
        secrets.token_bytes(300),
        note,
        b"\n" + note,
        b"old 0\n",
        b"old 0\n\n",
        b"old 0\n" + note,
        b"old 0" + note,
        b"size 0\n\n" + note,
        b"OLD 0\n\n" + note,
        b"old\t0\n\n" + note,
        b"old 0\r\n\r\n" + note,
        b" old 0\n\n" + note,
        b"old 0 0\n\n" + note,
        b"old 0\nold 0\n\n" + note,
        b"\xef\xbb\xbfold 0\n\n" + note,
        proof_line + b"old 0\n\n" + note,
    ):
        assert battery.post(body).status == 400, body[:40]
    assert battery.post(b"old 0\n\n" + note).status == 200


def test_22_a_proof_that_has_no_such_form_is_a_bad_request(battery: Battery) -> None:
    log = battery.log(9)
    battery.promise(log, 6)
    text = log.text(9)
    good = [b64(digest) for digest in log.proof(6, 9)]
    assert len(good) > 1
    for lines in (
        [good[0][:-1], *good[1:]],  # no padding
        [good[0] + "=", *good[1:]],
        [good[0].replace("=", ""), *good[1:]],
        [" " + good[0], *good[1:]],
        [good[0] + " ", *good[1:]],
        [good[0] + "\r", *good[1:]],
        ["!" + good[0][1:], *good[1:]],
        ["", *good],
        [b64(bytes(31)), *good[1:]],
        [b64(bytes(33)), *good[1:]],
        [b64(bytes(64))],
        [good[0][:-2] + chr(ord(good[0][-2]) + 1) + "=", *good[1:]],  # spare bits that are not zero
        ["A" * 44] * 64,
    ):
        head = "old 6\n" + "".join(f"{line}\n" for line in lines)
        body = f"{head}\n{text}\n{log.key.line(text)}".encode()
        assert battery.post(body).status == 400, lines
    assert battery.submit(log, 6).status == 200


def test_23_a_checkpoint_that_is_not_canonical_is_a_bad_request(battery: Battery) -> None:
    log = battery.log(4)
    root_text = b64(root(log.leaves))
    for text in (
        f"{log.origin}\n",
        f"{log.origin}\n4\n",
        f"{log.origin}\n04\n{root_text}\n",
        f"{log.origin}\n+4\n{root_text}\n",
        f"{log.origin}\n-4\n{root_text}\n",
        f"{log.origin}\n 4\n{root_text}\n",
        f"{log.origin}\n4 \n{root_text}\n",
        f"{log.origin}\n\u0664\n{root_text}\n",
        f"{log.origin}\n{2**63}\n{root_text}\n",
        f"{log.origin}\n{2**64 + 4}\n{root_text}\n",
        f"{log.origin}\n4\n{root_text[:-1]}\n",
        f"{log.origin}\n4\n{root_text} \n",
        f"{log.origin}\n4\n{b64(bytes(31))}\n",
        f"{log.origin}\n4\n{b64(bytes(33))}\n",
        f"{log.origin}\n4\n\n",
        f"{log.origin}\n\n{root_text}\n",
        f"{log.origin}\n4\n{root_text}\n\n",
        f"{log.origin}\n4\n{root_text}\n\nmore\n",
        f"{log.origin}\r\n4\r\n{root_text}\r\n",
    ):
        status = battery.post(body_of(0, [], text, log.key.line(text))).status
        # a name that is another one is another log, which is unknown
        assert status == 400 or (status == 404 and "\r" in text), text
    assert battery.monitor(log).status == 404


def test_24_a_note_that_is_not_one_is_a_bad_request(battery: Battery) -> None:
    log = battery.log(4)
    text = log.text(4)
    line = log.key.line(text)
    for rest in (
        "",
        "\n",
        f"\n{line[:-1]}",
        line,  # no blank line
        f"\n{line}\n",
        f"\n{line}more\n",
        f"\n{line.replace(chr(0x2014), '-')}",
        f"\n{line[1:]}",
        f"\n{line.replace(' ', '  ')}",
        f"\n{line[:-2]}\n",
        f"\n{line[:-1]} \n",
        f"\n{line[:-1]}\r\n",
        f"\n\u2014 {log.origin}\n",
        f"\n\u2014 {log.origin} \n",
        f"\n\u2014  {line.split(' ')[2]}",
        f"\n\u2014 {log.origin} {b64(log.key.id)}\n",
        f"\n{line}\u2014 a+b {b64(bytes(68))}\n",
    ):
        assert battery.post(f"old 0\n\n{text}{rest}".encode()).status == 400, rest
    assert battery.post(f"old 0\n\n{text}\n{line}".encode()[:-3] + b"\xff=\n").status == 400
    assert battery.monitor(log).status == 404


def test_25_a_body_that_is_too_long_is_refused(battery: Battery) -> None:
    log = battery.log(4)
    text = log.text(4, ["x" * 1100 for _ in range(16)])
    for body in (body_of(0, [], text, log.key.line(text)), b"old 0\n" * 40_000, b"x" * (1 << 20)):
        try:
            assert battery.post(body).status in (400, 413), len(body)
        except (ConnectionError, http.client.HTTPException):
            assert len(body) > 1 << 17  # it need not be taken to its end
    assert battery.monitor(log).status == 404
    assert battery.submit(log, 0).status == 200


# ---- 409 ------------------------------------------------------------------------------------------------------------


def conflict(answer: Answer, size: int) -> None:
    assert answer.status == 409
    assert answer.content_type == "text/x.tlog.size"
    assert answer.body == b"%d\n" % size


def test_26_another_old_size_is_a_conflict_that_tells_the_right_one(battery: Battery) -> None:
    log = battery.log(20)
    battery.promise(log, 8)
    for old in (0, 1, 7, 9, 12):
        conflict(battery.submit(log, old, 12), 8)
    assert battery.submit(log, 8, 12).status == 200
    conflict(battery.submit(log, 8, 20), 12)


def test_27_of_a_log_that_was_never_cosigned_it_is_zero(battery: Battery) -> None:
    log = battery.log(7)
    conflict(battery.submit(log, 3), 0)
    conflict(battery.submit(log, 7), 0)
    assert battery.monitor(log).status == 404
    assert battery.submit(log, 0).status == 200


def test_28_an_older_head_is_a_conflict_even_with_its_own_size(battery: Battery) -> None:
    log = battery.log(12)
    battery.promise(log, 12)
    for size in (1, 6, 11):
        conflict(battery.submit(log, size, size), 12)
        conflict(battery.submit(log, 0, size), 12)
    assert battery.monitored(log) == 12


def test_29_a_conflict_comes_before_the_proof(battery: Battery) -> None:
    log = battery.log(12)
    battery.promise(log, 8)
    conflict(battery.submit(log, 5, 12, hashes=[bytes(32)] * 7), 8)
    conflict(battery.submit(log, 0, 12, hashes=[bytes(32)]), 8)
    conflict(battery.submit(log.fork(3, 9), 5, 12), 8)


def test_30_a_conflict_changes_nothing(battery: Battery) -> None:
    log = battery.log(12)
    battery.promise(log, 8)
    before = battery.monitor(log).body
    battery.submit(log, 0, 12)
    battery.submit(log, 12, 12)
    assert battery.monitor(log).body == before
    battery.holds(log, 8)


# ---- 422 ------------------------------------------------------------------------------------------------------------


def test_31_another_root_at_the_same_size_is_unprocessable(battery: Battery) -> None:
    log = battery.log(8)
    battery.promise(log, 8)
    assert battery.submit(log.fork(5, 3), 8).status == 422
    assert battery.submit(log.fork(0, 8), 8).status == 422
    battery.holds(log, 8)


def test_32_after_that_the_head_that_was_cosigned_goes_on(battery: Battery) -> None:
    log = battery.log(8)
    battery.promise(log, 8)
    other = log.fork(5, 3)
    for _ in range(3):
        assert battery.submit(other, 8).status == 422
    assert battery.monitored(log) == 8
    battery.cosigned(battery.submit(log, 8), log.text(8))
    log.grow(2)
    battery.cosigned(battery.submit(log, 8), log.text(10))


def test_33_a_bad_proof_is_unprocessable(battery: Battery) -> None:
    log = battery.log(23)
    battery.promise(log, 11)
    good = log.proof(11, 23)
    assert len(good) >= 4
    for hashes in (
        [],
        good[:-1],
        good[1:],
        [*good, secrets.token_bytes(32)],
        [secrets.token_bytes(32), *good],
        list(reversed(good)),
        [good[1], good[0], *good[2:]],
        *(
            [
                bytes([digest[0] ^ 1]) + digest[1:] if number == at else digest
                for number, digest in enumerate(good)
            ]
            for at in range(len(good))
        ),
        log.proof(10, 23),
        log.proof(11, 22),
        [bytes(32)] * 63,
    ):
        assert battery.submit(log, 11, hashes=hashes).status == 422
    battery.holds(log, 11)
    assert battery.submit(log, 11).status == 200


def test_34_from_a_power_of_two_no_proof_is_taken_for_another(battery: Battery) -> None:
    log = battery.log(13)
    battery.promise(log, 8)
    other = log.fork(2, 11)
    assert battery.submit(other, 8, hashes=log.proof(8, 13)).status == 422
    assert battery.submit(other, 8).status == 422
    assert battery.submit(log, 8, hashes=[root(log.leaves[:8]), *log.proof(8, 13)]).status == 422
    assert battery.submit(log, 8).status == 200


def test_35_another_history_with_a_good_proof_of_its_own_is_unprocessable(battery: Battery) -> None:
    log = battery.log(30)
    battery.promise(log, 13)
    for at in (0, 1, 8, 12):
        assert battery.submit(log.fork(at, 30 - at), 13).status == 422
    battery.holds(log, 13)
    assert battery.submit(log, 13).status == 200


def test_36_a_proof_from_nothing_is_unprocessable(battery: Battery) -> None:
    log = battery.log(8)
    for hashes in ([bytes(32)], [root(log.leaves)], log.proof(4, 8)):
        assert battery.submit(log, 0, hashes=hashes).status == 422
    assert battery.monitor(log).status == 404
    assert battery.submit(log, 0).status == 200


def test_37_a_refresh_with_a_proof_is_unprocessable(battery: Battery) -> None:
    log = battery.log(8)
    battery.promise(log, 8)
    assert battery.submit(log, 8, hashes=[root(log.leaves)]).status == 422
    assert battery.submit(log, 8).status == 200


def test_38_an_empty_tree_with_another_root_is_unprocessable(battery: Battery) -> None:
    log = battery.log(0)
    for root_text in (b64(bytes(32)), b64(leaf(b"")), b64(secrets.token_bytes(32))):
        text = log.text(0, root_text=root_text)
        assert battery.post(body_of(0, [], text, log.key.line(text))).status == 422
    assert battery.monitor(log).status == 404
    assert battery.submit(log, 0).status == 200


def test_39_a_proof_of_sixty_three_hashes_is_read(battery: Battery) -> None:
    log = battery.log(8)
    battery.promise(log, 5)
    assert battery.submit(log, 5, hashes=[secrets.token_bytes(32) for _ in range(63)]).status == 422


# ---- monitors -------------------------------------------------------------------------------------------------------


def test_40_monitors_see_what_was_cosigned_with_both_signatures(battery: Battery) -> None:
    log = battery.log(20)
    assert battery.monitor(log).status == 404
    line = battery.submit(log, 0, 7).body.decode()
    answer = battery.monitor(log)
    text, lines = note_parts(answer.body)
    assert text == log.text(7)
    assert lines == [log.key.line(text), line]
    assert answer.content_type.partition(";")[0] == "text/plain"
    battery.submit(log, 7, 20)
    assert battery.monitored(log) == 20


def test_41_monitors_ask_by_the_hash_in_lower_case(battery: Battery) -> None:
    log = battery.log(3)
    battery.promise(log, 3)
    for path in (
        log.hash.upper(),
        log.hash[:-1],
        log.hash + "0",
        hashlib.sha256(log.origin.encode() + b"\n").hexdigest(),
        "0" * 64,
        log.origin,
    ):
        assert battery.request("GET", f"{path}/checkpoint").status == 404
    assert battery.monitored(log) == 3


def test_42_foreign_signatures_are_not_shown(battery: Battery) -> None:
    log = battery.log(6)
    text = log.text(6)
    battery.post(body_of(0, [], text, Key("stranger.example").line(text), log.key.line(text)))
    assert b"stranger" not in battery.monitor(log).body


def test_43_only_post_adds_and_only_get_monitors(battery: Battery) -> None:
    log = battery.log(3)
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        body = request_of(log, 0, 3) if method != "GET" else None
        assert battery.request(method, "add-checkpoint", body).status in (404, 405)
    assert battery.monitor(log).status == 404
    battery.promise(log, 3)
    assert battery.request("POST", f"{log.hash}/checkpoint", b"").status in (404, 405)


# ---- HTTP, concurrency, crashes -------------------------------------------------------------------------------------


def test_44_a_connection_is_kept_for_many_requests(battery: Battery) -> None:
    log = battery.log(30)
    connection = battery.connect()
    for size in range(1, 31):
        body = request_of(log, size - 1, size)
        assert battery.on(connection, "POST", "add-checkpoint", body).status == 200
        socket = connection.sock
        assert socket is not None
        if size == 1:
            first = socket
        assert socket is first
        if size % 10 == 0:  # an answer of another status does not end it either
            assert battery.on(connection, "POST", "add-checkpoint", body).status == 409
            assert battery.on(connection, "POST", "add-checkpoint", b"old\n").status == 400
    connection.close()


def test_45_a_body_in_chunks_is_taken(battery: Battery) -> None:
    log = battery.log(3)
    body = request_of(log, 0, 3)
    connection = battery.connect()
    connection.request(
        "POST",
        "/add-checkpoint",
        iter([body[:10], body[10:]]),
        encode_chunked=True,
        headers={"Transfer-Encoding": "chunked"},
    )
    assert connection.getresponse().status == 200
    connection.close()


def test_46_of_fifty_heads_at_once_one_wins_and_the_rest_conflict(battery: Battery) -> None:
    log = battery.log(8 + PARALLEL)
    battery.promise(log, 8)
    bodies = [request_of(log, 8, 8 + number) for number in range(1, PARALLEL + 1)]
    answers = battery.at_once(bodies)
    won = [number for number, answer in enumerate(answers, 1) if answer.status == 200]
    assert len(won) == 1
    size = 8 + won[0]
    battery.cosigned(answers[won[0] - 1], log.text(size))
    for number, answer in enumerate(answers, 1):
        if number != won[0]:
            conflict(answer, size)
    assert battery.monitored(log) == size


def test_47_of_fifty_histories_at_once_one_is_cosigned(battery: Battery) -> None:
    log = battery.log(8)
    battery.promise(log, 8)
    others = [Log(log.key, log.leaves).grow(3, f"history {number}") for number in range(PARALLEL)]
    bodies = [request_of(other, 8, 11) for other in others]
    answers = battery.at_once(bodies)
    assert sorted(answer.status for answer in answers) == [200] + [409] * (PARALLEL - 1)
    (winner,) = [other for other, answer in zip(others, answers, strict=True) if answer.status == 200]
    assert battery.monitored(winner) == 11
    winner.grow(5, "on")
    assert battery.submit(winner, 11).status == 200


def test_48_first_heads_at_once(battery: Battery) -> None:
    log = battery.log(PARALLEL)
    bodies = [request_of(log, 0, number) for number in range(1, PARALLEL + 1)]
    answers = battery.at_once(bodies)
    assert sorted(answer.status for answer in answers) == [200] + [409] * (PARALLEL - 1)


def test_49_clients_that_race_make_one_growing_history(battery: Battery) -> None:
    log = battery.log(120)
    cosigned: list[int] = []
    lock = threading.Lock()

    def client(number: int) -> None:
        """Submit one size after another, from wherever the witness stands."""
        connection = battery.connect()
        old = 0
        for size in range(number + 1, log.size + 1, 5):
            while old < size:
                answer = battery.on(connection, "POST", "add-checkpoint", request_of(log, old, size))
                if answer.status == 200:
                    with lock:
                        cosigned.append(size)
                    old = size
                else:
                    assert answer.status == 409
                    assert int(answer.body) != old
                    old = int(answer.body)
        connection.close()

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(client, range(5)))
    assert len(cosigned) == len(set(cosigned)), "one size was cosigned for two that stood at the same place"
    assert battery.monitored(log) == max(cosigned) == log.size


def test_50_fifty_refreshes_at_once_are_all_answered(battery: Battery) -> None:
    log = battery.log(5)
    battery.promise(log, 5)
    body = request_of(log, 5, 5)
    for answer in battery.at_once([body] * PARALLEL):
        battery.cosigned(answer, log.text(5))


def test_51_a_promise_outlives_a_kill(battery: Battery) -> None:
    log = battery.log(40)
    size = 0
    for step in (7, 14):
        assert battery.submit(log, size, size + step).status == 200
        battery.target.crash()
        battery.target.start()
        size += step
        other = log.fork(size - 1, 9)
        conflict(battery.submit(other, 0, size), size)
        assert battery.submit(other, size, size).status == 422
        assert battery.submit(other, size, size + 3).status == 422
        assert battery.monitored(log) == size
    battery.cosigned(battery.submit(log, size, 40), log.text(40))


def test_52_a_kill_in_the_middle_breaks_no_promise(battery: Battery) -> None:
    log = battery.log(400)
    promised = 0
    started = threading.Event()

    def submit() -> None:
        nonlocal promised
        connection = battery.connect()
        with contextlib.suppress(ConnectionError, http.client.HTTPException):
            for size in range(1, 401):
                assert (
                    battery.on(connection, "POST", "add-checkpoint", request_of(log, size - 1, size)).status
                    == 200
                )
                promised = size
                started.set()
        connection.close()

    thread = threading.Thread(target=submit)
    thread.start()
    assert started.wait(WAIT_S)
    while promised < 20 and thread.is_alive():
        time.sleep(0.001)  # polling a counter of another thread
    battery.target.crash()
    thread.join(WAIT_S)
    battery.target.start()
    answer = battery.post(body_of(401, [], *signed(log.key, log.origin, 500)))
    assert answer.status == 409
    # the last one may have been written down and not told
    assert promised <= int(answer.body) <= promised + 1
    assert battery.monitored(log) == int(answer.body)


def test_99_the_battery_is_as_long_as_it_says(battery: Battery) -> None:
    checks = [name for name in globals() if name.startswith("test_")]
    assert len(checks) >= 29 + 1
    assert battery.used < LOGS
    # what it was run against, for the report of the run
    print(json.dumps({"url": battery.target.url, "checks": len(checks) - 1, "logs": battery.used}))
