"""The plugins and their files: what is laid down, torn, huge, hostile, or on a disk that is full."""

from __future__ import annotations

import json
import os
import resource
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from engines import rig as rigs
from engines.foe import CODE, SECRET, Foe, Offer, each, loaded, recording, until
from engines.rig import Rig, rig

from gateway.device.spool import LinkCard, encode_header
from gateway.keys.link import LinkKeys

pytestmark = pytest.mark.slow

MB = 1 << 20


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


BAD_FILES: dict[str, Callable[[Path], object]] = {
    "a gigabyte": lambda path: _sparse(path, 1 << 30),
    "nothing": lambda path: path.write_bytes(b""),
    "bytes": lambda path: path.write_bytes(bytes(range(256)) * 8),
    "deep": lambda path: path.write_text("[" * 4_000),
    "deeper": lambda path: path.write_text('{"a":' * 600 + "1" + "}" * 600),
    "a list": lambda path: path.write_text("[1, 2]"),
    "wrong types": lambda path: path.write_text('{"code": ["x"], "key": 7, "device": "7", "port": {}}'),
    "a short code": lambda path: path.write_text('{"code": "ABC", "host": "127.0.0.1", "port": 1}'),
    "no device": lambda path: path.write_text(json.dumps({"key": SECRET.hex(), "home": "home", "device": 0})),
    "a key with a sign": lambda path: path.write_text(
        json.dumps({"key": "+" + SECRET.hex()[1:], "home": "home", "device": 7})
    ),
    "a home that is a topic": lambda path: path.write_text(
        json.dumps({"key": SECRET.hex(), "home": "a/#", "device": 7})
    ),
    "a counter beyond all": lambda path: path.write_text(
        json.dumps({"key": SECRET.hex(), "home": "home", "device": 7.5, "hello_seq": 1e300})
    ),
    "half of one": lambda path: path.write_text(json.dumps({"key": SECRET.hex(), "home": "home"})[:-20]),
}

SOME_FILES = ("a gigabyte", "bytes", "wrong types")


@pytest.mark.parametrize("files", ["some", pytest.param("all", marks=pytest.mark.torture)])
@each
def test_files_that_are_laid_down(engine: str, tmp_path: Path, files: str) -> None:
    """What is no pair file and no key file is put aside and told in words; the next one is taken all the same."""
    with Foe() as foe, rig(engine, tmp_path) as running:
        watched = running.watch / "vestibule.json"
        running.make(foe.host, foe.port, watch=True)
        before = running.rss_bytes
        for what in BAD_FILES if files == "all" else SOME_FILES:
            write = BAD_FILES[what]
            seen = len(running.events)
            aside = watched.with_name("vestibule.json.bad")
            aside.unlink(missing_ok=True)
            write(watched)
            until(lambda: aside.exists() and not watched.exists(), f"{what} is put aside", 6)  # noqa: B023
            words = running.event("trouble", seen)["words"]
            assert SECRET.hex() not in words
            assert len(words) < 600, words
        assert running.rss_bytes - before < 64 * MB
        # Somebody copies it slowly: half of it is no reason to put it aside.
        text = json.dumps(
            {**foe.key_file(), "name": "\u0001\u0000\ud83d\ude00", "host": foe.host, "port": foe.port}
        )
        with watched.open("w") as file:
            for at in range(0, len(text), len(text) // 4 + 1):
                file.write(text[at : at + len(text) // 4 + 1])
                file.flush()
                time.sleep(0.45)
        running.event("paired", device=7)
        until(lambda: not watched.exists(), "the file is gone")
        running.ask("start")
        running.recording()
        running.quit()
        running.launch()
        running.make(foe.host, foe.port)
        running.ask("start")
        running.recording()
        assert SECRET.hex() not in running.output


@pytest.mark.parametrize("what", ["torn", "huge", "folder"])
@each
def test_an_identity_that_cannot_be_read(engine: str, what: str, tmp_path: Path) -> None:
    """The app runs, says that it is not paired and what to do, and a pairing mends it (where there is no folder)."""
    with Foe() as foe, rig(engine, tmp_path) as running:
        path = running.dir / "identity.json"
        if what == "torn":
            path.write_text(json.dumps(foe.key_file())[:70])
        elif what == "huge":
            _sparse(path, 1 << 30)
        else:
            path.mkdir()
        Offer(foe)
        running.make(foe.host, foe.port)
        running.ask("start")
        running.event("state", reason="not_paired")
        if what == "folder":
            running.ask("pair", text=CODE, name="x")
            assert "identity.json" in running.event("trouble")["words"]
            return
        assert "air" in running.event("trouble")["words"]
        running.ask("pair", text=CODE, name="x")
        running.event("paired", device=7)
        running.recording()
        assert running.rss_bytes < 400 * MB
        if engine == "godot":  # C# of that profile cannot set a mode: there the folder has to do
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode & 0o077 == 0, f"identity.json is {mode:o}: the key is for this app alone"


def _with_limits(command: list[str | Path]) -> list[str | Path]:
    # The limit on file sizes stands in for a disk that is full: writes fail alike. Its signal is passed over, and
    # output goes through a pipe, which the limit does not touch.
    line = 'trap "" XFSZ; exec "$@" > >(exec cat) 2>&1'
    return ["bash", "-c", line, "bash", *command]


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Callable[[Rig, int], None]:
    """Rigs of this test start so that the size of their files can be limited."""
    plain = rigs.command_of
    monkeypatch.setattr(rigs, "command_of", lambda engine, port: _with_limits(plain(engine, port)))

    def limit(running: Rig, size: int) -> None:
        assert running.process
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (size, hard))

    return limit


@each
def test_a_full_disk_does_not_cost_the_identity(
    engine: str, tmp_path: Path, limited: Callable[[Rig, int], None]
) -> None:
    """A counter that cannot be kept is not used; the old identity stands; with room again it connects by itself."""
    with Foe() as foe, rig(engine, tmp_path) as running:
        path = running.dir / "identity.json"
        running.give_identity(foe.key_file(), foe.host, foe.port)
        running.make(foe.host, foe.port, watch=True)
        running.ask("start")
        running.recording()
        before = path.read_text()
        limited(running, 16)
        running.ask("pause", reason="pause")
        running.ask("resume")
        running.event("trouble", timeout_s=10)
        time.sleep(0.3)
        assert path.read_text() == before, "the identity is what it was"
        hellos = len(foe.side.hellos)
        # A key file is not deleted before the key is kept somewhere else.
        watched = running.watch / "vestibule.json"
        watched.write_text(json.dumps({**foe.key_file(), "key": "ab" * 32, "hello_seq": 40}))
        time.sleep(3.0)
        kept = [one for one in (watched, watched.with_name("vestibule.json.bad")) if one.exists()]
        assert kept, "the only copy of the key is gone"
        assert "ab" * 32 in kept[0].read_text()
        assert json.loads(path.read_text())["key"] == SECRET.hex()
        assert len(foe.side.hellos) == hellos, "a HELLO left with a counter that was not kept"
        foe.side.become(bytes.fromhex("ab" * 32))
        limited(running, resource.RLIM_INFINITY)
        if not watched.exists():
            kept[0].rename(watched)
        until(lambda: len(foe.side.hellos) > hellos, "HELLO leaves once there is room", 20)
        running.recording()


@each
def test_a_full_disk_under_the_spool(
    engine: str, tmp_path: Path, limited: Callable[[Rig, int], None]
) -> None:
    """The recording goes on, people are told once and not without end, and what memory holds is delivered."""
    with Foe() as foe, rig(engine, tmp_path) as running:
        options = {"spool": True, "resend_first_ms": 300, "resend_most_ms": 600, "linger_ms": 20}
        with recording(foe, running, **options):
            limited(running, 20_000)
            foe.answers = False
            with loaded(running, 3.0) as load:
                pass
            assert load["frames"] > 100
            troubles = [event for event in running.events if event["event"] == "trouble"]
            assert 1 <= len(troubles) <= 4, troubles
            files = list((running.dir / "spool").iterdir())
            assert len(files) <= 12, f"{len(files)} files that nobody can fill"
            limited(running, resource.RLIM_INFINITY)
            foe.answers = True
            running.ask("stop", reason="end")
            status = running.drained(30)
            assert status["captured"] == status["stored"], status


def _garbage(folder: Path) -> None:
    folder.mkdir()
    (folder / "1-0.vts").write_bytes(os.urandom(5_000))
    (folder / "2-0.vts").write_bytes(b"VTS1\xff\xff" + bytes(70_000))
    (folder / "3-0.vts").write_bytes(b"")
    _sparse(folder / "4-0.vts", 5 << 30)
    (folder / "5-0.vts").mkdir()
    (folder / "6-0.vts").symlink_to("/dev/zero")
    (folder / "7-0.vts").symlink_to(folder / "nowhere")
    (folder / "99999999999999999999-0.vts").write_bytes(b"VTS1")
    (folder / "08-1.vts").write_bytes(b"VTS1")
    (folder / "-1.vts").write_bytes(b"x")
    (folder / "1.vts").write_bytes(b"x")
    (folder / "note.txt").write_text("x")
    # Another device's, sound in itself.
    card = LinkCard(8, 1, 9, b"s" * 16, "gate", b"m" * 32, LinkKeys(b"e" * 32, b"k" * 32, b"i" * 4))
    (folder / "9-0.vts").write_bytes(encode_header(card))
    mine = LinkCard(7, 1, 10, b"s" * 16, "gate", b"m" * 32, LinkKeys(b"e" * 32, b"k" * 32, b"i" * 4))
    (folder / "10-0.vts").write_bytes(encode_header(mine) + b"\xff\xff" + os.urandom(3_000))


@each
def test_a_spool_full_of_garbage(engine: str, tmp_path: Path) -> None:
    """The app starts, records, and keeps packets among it; nothing of it is read into memory whole."""
    with Foe() as foe, rig(engine, tmp_path) as running:
        _garbage(running.dir / "spool")
        before = running.rss_bytes
        with recording(foe, running, spool=True, resend_first_ms=300) as first:
            assert first["links"] == 1, first
            assert running.rss_bytes - before < 64 * MB
            foe.answers = False
            with loaded(running, 1.5):
                pass
            running.until(lambda status: status["spool_packets"] > 0, "packets are kept")
            foe.answers = True
            running.ask("stop", reason="end")
            status = running.drained(30)
            assert status["captured"] == status["stored"], status
            running.until(lambda status: not status["spool_packets"], "the spool is empty")
        left = sorted(one.name for one in (running.dir / "spool").glob("*.vts") if one.is_file())
        assert not [name for name in left if name.split("-")[0] in ("1", "2", "3", "4", "9", "10")], left


@pytest.mark.torture
@each
def test_a_spool_that_is_a_file(engine: str, tmp_path: Path) -> None:
    """Nothing can be kept: that is told, and everything else works."""
    with Foe() as foe, rig(engine, tmp_path) as running:
        (running.dir / "spool").write_text("x")
        with recording(foe, running, spool=True, resend_first_ms=300):
            foe.answers = False
            with loaded(running, 1.5):
                pass
            assert "kept" in running.event("trouble")["words"]
            foe.answers = True
            running.ask("stop", reason="end")
            status = running.drained(30)
            assert status["captured"] == status["stored"], status
