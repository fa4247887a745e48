"""`vestibule audit` as cron runs it: real stores and logs from elsewhere, over real HTTP, with servers good and bad."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT

from gateway.app import audit_source
from gateway.app.audit import Order, audit
from gateway.app.audit_state import LogFolder
from gateway.app.export import export_log
from gateway.entries.rotation import sign_rotation
from gateway.entries.types import rotate_body
from gateway.keys.did import did_key
from gateway.keys.sign import SigningKey
from gateway.store.keyfiles import load_keys
from gateway.store.mark import Mark
from gateway.store.snapshot import Snapshot
from gateway.tlog.checkpoint import Checkpoint, cosign, sign_checkpoint
from gateway.tlog.fork import parse_fork, verify_fork
from gateway.tlog.note import COSIGNATURE, VerifierKey, parse_vkey
from tests.e2e.daemon import Gateway as Daemon
from tests.foreign_log import Clinic, ForeignLog, Key, digest
from tests.log_server import Answer, LogServer, send
from tests.servers import certificate
from tests.stores import ORIGIN, Facts, Gateway, copy_store, make_store, open_gateway

MEMBERS = {
    "format", "ok", "exit", "origin", "source", "at_ms", "head", "signed_by", "before", "quorum", "witnesses",
    "newest_ms", "newest_of", "age_s", "keys", "kind", "entries", "gateways", "evidence", "findings",
}  # fmt: skip


class Cron:
    """Runs the command as a process of its own.

    Args:
        source: URL or folder.
        vkey: of the log.
        state: directory.
    """

    def __init__(self, source: str | Path, vkey: str, state: Path) -> None:
        self.source, self.vkey, self.state = str(source), vkey, state

    def command(self, *more: str | Path) -> list[str]:
        args = ["audit", self.source, "--state", str(self.state), "--vkey", self.vkey, *map(str, more)]
        return [sys.executable, "-m", "gateway", *args]

    def said(self, *more: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
        return subprocess.run(
            self.command(*more), capture_output=True, text=True, env=environment, timeout=60, check=False
        )

    def __call__(self, *more: str | Path) -> dict[str, Any]:
        done = self.said("--json", *more)
        assert "bug" not in done.stderr, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        assert told.keys() == MEMBERS
        assert told["exit"] == done.returncode
        assert told["ok"] == (done.returncode == 0)
        return told


def codes(told: dict[str, Any], level: str = "") -> list[str]:
    return [one["code"] for one in told["findings"] if level in ("", one["level"])]


def vkey_of(facts: Facts) -> str:
    keys = load_keys(facts.layout)
    return VerifierKey.of(keys.origin, keys.log.public).encode()


# ---- a clinic's own log -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("audit") / "d") as running:
        yield running


def test_a_running_gateway_is_followed_by_its_url(daemon: Daemon, tmp_path: Path) -> None:
    keys = load_keys(daemon.layout)
    vkey = VerifierKey.of(keys.origin, keys.log.public).encode()
    cron = Cron(f"http://127.0.0.1:{daemon.http_port}/", vkey, tmp_path / "state")
    device = daemon.add_device()
    told = cron()
    assert (told["exit"], codes(told), told["head"]["size"]) == (0, ["first"], 0)
    sizes = [told["head"]["size"]]
    for number in range(3):
        session = daemon.open_session([device.device], ["pose"], f"subject-{number}")
        daemon.close_session(session, now=True)
        told = cron("--max-age", "3600")
        sizes.append(told["head"]["size"])
        assert (told["exit"], codes(told)) == (0, [])
        assert told["entries"]["read"] == sizes[-1] - sizes[-2] > 0
        assert told["kind"] == "vestibule"
        assert told["before"]["size"] == sizes[-2]
    assert told["entries"]["types"]["session"] >= 6
    assert told["gateways"] == [did_key(keys.entry.public)]
    assert told["newest_of"] == "entry"
    said = cron.said()
    assert said.stdout.startswith(f"{keys.origin}: All is well.\n")
    assert (said.stderr, said.returncode) == ("", 0)


async def grown(facts: Facts, count: int, seed: str, also: Callable[[Gateway], None] | None = None) -> None:
    gateway = await open_gateway(facts.layout, facts, seed=seed)
    try:
        gateway.subject(f"P-{seed}")
        for number in range(count):
            gateway.open_session(f"P-{seed}-{number}")
        if also is not None:
            also(gateway)
        await gateway.cycle()
    finally:
        await gateway.store.close()


@pytest.fixture
def facts(tmp_path: Path) -> Facts:
    return asyncio.run(make_store(tmp_path / "data", batches=2, sessions=2, frames=4))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[LogServer]:
    (tmp_path / "served").mkdir()
    with LogServer(tmp_path / "served") as server:
        yield server


def test_an_export_is_followed_while_it_grows(facts: Facts, served: LogServer, tmp_path: Path) -> None:
    cron = Cron(served.url, vkey_of(facts), tmp_path / "state")
    for number in range(4):
        size = export_log(facts.layout, served.folder).size
        told = cron("--progress", "none")
        assert (told["exit"], told["head"]["size"]) == (0, size)
        assert told["entries"]["checked"] == size
        assert told["entries"]["batch"] == facts.batches
        asyncio.run(grown(facts, 80, f"s{number}"))
    assert size > 200
    export_log(facts.layout, served.folder)
    by_folder = Cron(served.folder, cron.vkey, tmp_path / "other")
    assert by_folder()["entries"]["checked"] == cron()["entries"]["checked"] > 256


def twin(facts: Facts, path: Path) -> Facts:
    """The same store, once more: a cloned machine."""
    copy = copy_store(facts, path)
    mark = Mark.open(copy.layout.mark)
    mark.rewrite()
    mark.close()
    return copy


@pytest.mark.parametrize(("mine", "theirs"), [(5, 5), (5, 40), (300, 40)])
def test_a_clone_that_signs_on_is_convicted(
    facts: Facts, served: LogServer, tmp_path: Path, mine: int, theirs: int
) -> None:
    clone = twin(facts, tmp_path / "clone")
    cron = Cron(served.url, vkey_of(facts), tmp_path / "state")
    export_log(facts.layout, served.folder)
    assert cron()["exit"] == 0
    asyncio.run(grown(facts, mine, "mine"))
    sizes = {export_log(facts.layout, served.folder).size}
    assert cron()["exit"] == 0
    asyncio.run(grown(clone, theirs, "theirs"))
    served.folder = tmp_path / "theirs"
    sizes.add(export_log(clone.layout, served.folder).size)
    told = cron("--evidence", tmp_path / "evidence.json")
    assert (told["exit"], codes(told)) == (65, ["forked"])
    evidence = (tmp_path / "evidence.json").read_bytes()
    assert Path(told["evidence"]).read_bytes() == evidence
    a, b = verify_fork(parse_fork(evidence), parse_vkey(cron.vkey))
    assert {a.size, b.size} == sizes
    # Whatever is served from then on, and whoever asks.
    served.folder = tmp_path / "served"
    said = cron.said("--evidence", tmp_path / "evidence.json")
    assert said.returncode == 65
    assert told["evidence"] in said.stdout
    assert said.stdout.startswith(f"{ORIGIN}: The log contradicts itself.\n")
    assert "Keep the file" in said.stdout
    assert "not overwritten" not in said.stdout


def test_a_backup_that_runs_again_is_a_rollback(facts: Facts, served: LogServer, tmp_path: Path) -> None:
    backup = twin(facts, tmp_path / "backup")
    cron = Cron(served.url, vkey_of(facts), tmp_path / "state")
    asyncio.run(grown(facts, 300, "mine"))
    export_log(facts.layout, served.folder)
    assert cron()["exit"] == 0
    served.folder = tmp_path / "old"
    export_log(backup.layout, served.folder)
    told = cron()
    assert (told["exit"], codes(told)) == (75, ["older_head"])
    assert told["before"]["size"] > told["head"]["size"]
    served.folder = tmp_path / "served"
    assert cron()["exit"] == 0


def test_a_log_key_that_is_rotated_by_its_entry_is_followed(
    facts: Facts, served: LogServer, tmp_path: Path
) -> None:
    keys = load_keys(facts.layout)
    fresh = SigningKey(digest(b"fresh"))
    old, new = vkey_of(facts), VerifierKey.of(ORIGIN, fresh.public).encode()
    cron = Cron(served.url, old, tmp_path / "state")
    export_log(facts.layout, served.folder)
    assert cron()["exit"] == 0

    def rotate(gateway: Gateway) -> None:
        did = gateway.ledger.gateway
        by = sign_rotation(did, "log", old, new, keys.log, fresh)
        gateway.sessions.bodies.append(rotate_body(did, gateway.now_ms, "log", old, new, *by))

    asyncio.run(grown(facts, 3, "rotating", rotate))
    export_log(facts.layout, served.folder)
    told = cron()
    assert (told["exit"], codes(told)) == (0, ["key_rotated"])
    assert [(one["vkey"], one["entry"] is None) for one in told["keys"]] == [(old, True), (new, False)]
    asyncio.run(grown(facts, 3, "rotated"))
    export_log(facts.layout, served.folder)
    with Snapshot(facts.layout.database) as snapshot:
        head = snapshot.head()
    checkpoint = Checkpoint(ORIGIN, head.size, head.root)
    for signer, expected in ((SigningKey(digest(b"thief")), ["head_key"]), (fresh, [])):
        (served.folder / "checkpoint").write_bytes(sign_checkpoint(checkpoint, ORIGIN, signer))
        told = cron()
        assert codes(told) == expected
        assert told["exit"] == (65 if expected else 0)
    assert told["signed_by"] == [new]


def test_a_missing_quorum_is_65(facts: Facts, served: LogServer, tmp_path: Path) -> None:
    witnesses = [SigningKey(digest(b"w%d" % n)) for n in range(3)]
    vkeys = [VerifierKey.of(f"w{n}.example", key.public, COSIGNATURE) for n, key in enumerate(witnesses)]
    policy = tmp_path / "policy"
    lines = [f"log {vkey_of(facts)}\n", *(f"witness w{n} {one.encode()}\n" for n, one in enumerate(vkeys))]
    policy.write_text("".join(lines) + "group two 2 w0 w1 w2\nquorum two\n")
    size = export_log(facts.layout, served.folder).size
    note = (served.folder / "checkpoint").read_bytes()
    with Snapshot(facts.layout.database) as snapshot:
        checkpoint = Checkpoint(ORIGIN, size, snapshot.head().root)
    cron = Cron(served.url, vkey_of(facts), tmp_path / "state")
    now_s = int(time.time())
    for count, age_s, expected in ((0, 0, 65), (1, 0, 65), (2, 0, 0), (2, 7200, 75)):
        cosigned = [
            cosign(checkpoint, vkeys[n].name, witnesses[n], now_s - age_s).encode() for n in range(count)
        ]
        (served.folder / "checkpoint").write_bytes(note + b"".join(cosigned))
        told = cron("--policy", policy, "--max-age", "3600")
        assert (told["exit"], len(told["witnesses"])) == (expected, count)
    assert codes(told) == ["stale"]
    assert 7199 < told["age_s"] < 7300
    policy.write_text("quorum everyone\n")
    said = cron.said("--policy", policy)
    assert (said.returncode, said.stdout) == (2, "")
    assert "policy line 1" in said.stderr


# ---- servers ----------------------------------------------------------------------------------------------------


@pytest.fixture
def clinic() -> Clinic:
    made = Clinic()
    made.batches(300)
    return made


@pytest.fixture
def cron(clinic: Clinic, served: LogServer, tmp_path: Path) -> Cron:
    clinic.log.write(served.folder)
    return Cron(served.url, clinic.log.key.vkey, tmp_path / "state")


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    part = b"A" * 65536
    while True:  # until whoever reads has had enough, and hangs up
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))


def claims(length: int, data: bytes) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        send(handler, data, length=length)
        handler.close_connection = True

    return answer


def bomb(handler: BaseHTTPRequestHandler) -> None:
    send(handler, gzip.compress(bytes(1 << 27)), Content_Encoding="gzip")


def cut_gzip(handler: BaseHTTPRequestHandler) -> None:
    send(handler, gzip.compress(b"x" * 1000)[:-9], Content_Encoding="gzip")


def brotli(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"x", Content_Encoding="br")


def no_http(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    handler.close_connection = True


def many_fields(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"x", **{f"X-{n}": "y" * 1000 for n in range(1000)})


def hangs_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def status(code: int) -> Answer:
    return lambda handler: send(handler, b"no\n", code)


def elsewhere(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"", 302, Location="http://127.0.0.1:9/checkpoint")


@pytest.mark.parametrize("path", ["checkpoint", "tile/0/000", "tile/1/000.p/1", "tile/entries/000"])
@pytest.mark.parametrize(
    ("answer", "exit"),
    [
        (endless, 65), (claims(10**12, b"x"), 65), (claims(7000, b"x" * 10), 69), (bomb, 65), (cut_gzip, 65),
        (brotli, 65), (no_http, 69), (many_fields, 69), (hangs_up, 69), (status(500), 69), (status(403), 69),
        (status(404), 69), (status(204), 69), (elsewhere, 69), (claims(0, b""), 65), (claims(3, b"abc"), 65),
    ],
    ids=["endless", "claims 1 TB", "short", "bomb", "cut gzip", "brotli", "no http", "fields", "hangs up", "500",
         "403", "404", "204", "elsewhere", "empty", "wrong"],
)  # fmt: skip
def test_a_bad_server_is_told_and_nothing_more(
    cron: Cron, served: LogServer, path: str, answer: Answer, exit: int
) -> None:
    order = Order(served.url, (parse_vkey(cron.vkey),), cron.state)
    served.answers[path] = answer
    told = asyncio.run(audit(order, 1))
    # A head may be larger than all these fields; where less is awaited, they are too much for that.
    assert told.exit_code in ((65, 69) if answer is many_fields else (exit,)), told.findings
    served.answers.clear()
    told = asyncio.run(audit(order, 2))
    assert (told.exit_code, told.checked) == (0, 300), told.findings


def test_a_server_that_says_nothing_is_not_waited_for(
    cron: Cron, served: LogServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_source, "READ_S", 0.3)
    over = threading.Event()

    def drips(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not over.wait(0.02):
            handler.wfile.write(b"A")

    order = Order(served.url, (parse_vkey(cron.vkey),), cron.state)
    try:
        for path in ("checkpoint", "tile/0/001.p/44", "tile/entries/001.p/44"):
            for answer in (drips, lambda handler: over.wait(20)):
                served.answers = {path: answer}
                told = asyncio.run(audit(order, 1))
                assert (told.exit_code, "in time" in told.findings[-1].message) == (69, True)
    finally:
        over.set()


def test_bundles_may_be_gzip(cron: Cron, served: LogServer) -> None:
    for name in ("tile/entries/000", "tile/entries/001.p/44"):
        data = (served.folder / name).read_bytes()
        served.answers[name] = lambda handler, data=data: send(
            handler, gzip.compress(data), Content_Encoding="gzip"
        )
    assert cron()["entries"]["checked"] == 300


def test_certificates_are_not_looked_at(cron: Cron, served: LogServer, tmp_path: Path) -> None:
    certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "broker.crt", tmp_path / "broker.key")
    with LogServer(served.folder, tls=context) as secure:
        assert secure.url.startswith("https://127.0.0.1:")
        told = Cron(secure.url, cron.vkey, cron.state)()
        assert (told["exit"], told["entries"]["checked"]) == (0, 300)


def test_a_copy_below_the_hash_of_its_origin_is_followed(
    cron: Cron, clinic: Clinic, served: LogServer
) -> None:
    prefix = digest(clinic.log.origin.encode()).hex()
    Clinic("peer.example/rig-9").log.write(served.folder)
    clinic.log.write(served.folder / prefix)
    told = cron()
    assert codes(told) == ["head_origin"]
    cron.source = f"{served.url}/{prefix}"
    assert cron()["exit"] == 0


def test_nobody_there_is_69_and_no_state_is_lost(cron: Cron, served: LogServer) -> None:
    assert cron()["exit"] == 0
    url, cron.source = cron.source, "http://127.0.0.1:9"
    told = cron()
    assert (told["exit"], codes(told), told["head"]) == (69, ["log_away"], None)
    assert told["before"]["size"] == 300
    said = cron.said()
    assert said.stdout.splitlines()[0].endswith("The log cannot be read.")
    cron.source = url
    assert cron()["exit"] == 0


def test_a_quiet_run_asks_for_the_head_alone(cron: Cron, served: LogServer) -> None:
    cron()
    served.asked.clear()
    assert cron()["exit"] == 0
    assert served.asked == {"checkpoint": 1}


def test_what_is_asked_for_grows_with_the_news(cron: Cron, clinic: Clinic, served: LogServer) -> None:
    clinic.batches(5000)
    clinic.log.write(served.folder)
    cron()
    served.asked.clear()
    clinic.batches(3)
    clinic.log.write(served.folder)
    told = cron()
    assert (told["exit"], told["entries"]["read"]) == (0, 3)
    assert served.asked.total() <= 8, served.asked


def test_a_foreign_log_is_followed_over_http(served: LogServer, tmp_path: Path) -> None:
    log = ForeignLog("foreign.example/log", [b"%d" % n for n in range(70_000)])
    cron = Cron(served.url, log.key.vkey, tmp_path / "state")
    for size in (1000, 66_000, 70_000):
        log.write(served.folder, size=size)
        served.asked.clear()
        told = cron()
        assert (told["exit"], told["kind"], told["head"]["size"]) == (0, "other", size)
        assert served.asked.total() < 15
    other = log.copy()
    other.entries[500] = b"other"
    other.write(served.folder)
    assert codes(cron()) == ["forked"]


# ---- the command ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--vkey", "nonsense"], "--vkey: "),
        (["--vkey", Key("other.example", "x").vkey], "follows one log"),
        (["--vkey", Key("clinic.example/rig-1", "x", 4).vkey], "follows one log"),
        (["--max-age", "0"], "max-age"),
        (["--policy", "/nowhere"], "cannot be read"),
        (["--sate", "x"], "No such option"),
    ],
)
def test_wrong_usage_is_2(cron: Cron, more: list[str], said: str) -> None:
    done = cron.said(*more)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert not cron.state.exists()


def test_a_damaged_state_is_78_with_a_next_step(cron: Cron, clinic: Clinic) -> None:
    assert cron()["exit"] == 0
    folder = cron.state / digest(clinic.log.origin.encode()).hex()
    (folder / "state").write_bytes(b"{}")
    done = cron.said("--json")
    assert (done.returncode, done.stdout) == (78, "")
    told = json.loads(done.stderr)["error"]
    assert (told["code"], "move it elsewhere" in told["hint"]) == ("audit_damaged", True)
    folder.rename(cron.state.with_name("aside"))
    assert codes(cron()) == ["first"]


def test_two_runs_at_once_are_75(cron: Cron, clinic: Clinic) -> None:
    with LogFolder(cron.state, clinic.log.origin):
        done = cron.said()
        assert (done.returncode, done.stdout) == (75, "")
        assert "another run follows" in done.stderr
    assert cron()["exit"] == 0


def test_an_interrupted_run_lets_go_of_the_state(cron: Cron, served: LogServer) -> None:
    assert asyncio.run(interrupted(cron, served)) == 130
    served.answers.clear()
    assert cron()["entries"]["checked"] == 300


async def interrupted(cron: Cron, served: LogServer) -> int:
    reached, free = threading.Event(), threading.Event()

    def waits(handler: BaseHTTPRequestHandler) -> None:
        reached.set()
        free.wait(20)
        handler.close_connection = True

    served.answers["tile/entries/000"] = waits
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        *cron.command(), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert await asyncio.to_thread(reached.wait, 20)
        process.send_signal(signal.SIGINT)
        return await asyncio.wait_for(process.wait(), 20)
    finally:
        free.set()
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_evidence_never_overwrites_another_file(
    cron: Cron, clinic: Clinic, served: LogServer, tmp_path: Path
) -> None:
    cron()
    other = clinic.log.copy()
    other.entries[0] = b"other"
    other.write(served.folder)
    letter = tmp_path / "letter"
    letter.write_text("mine")
    assert codes(cron("--evidence", letter)) == ["forked", "evidence_copy"]
    assert letter.read_text() == "mine"


def test_figures_are_those_of_the_log(cron: Cron, clinic: Clinic) -> None:
    told = cron()
    assert told["format"] == "vestibule-audit/1"
    assert b64decode(told["head"]["root"]) == clinic.log.subtree(0, 300)
    assert told["entries"] == {"checked": 300, "read": 300, "types": {"batch": 300}, "batch": 300}
    assert told["keys"] == [{"vkey": clinic.log.key.vkey, "entry": None}]
    assert told["newest_ms"] == clinic.at_ms
    assert told["gateways"] == [clinic.did]


def test_what_a_log_says_moves_no_cursor(served: LogServer, tmp_path: Path) -> None:
    log = ForeignLog("evil\x9b2J\u202e.example", [b"x"])
    log.write(served.folder)
    cron = Cron(served.url, Clinic().log.key.vkey, tmp_path / "state")
    said = cron.said()
    assert said.returncode == 65
    assert "\x9b" not in said.stdout + said.stderr
    assert "\u202e" not in said.stdout + said.stderr
