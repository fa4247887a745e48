"""The monitor against logs that share no code with it: what it accepts, what it convicts, and what it never forgets."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.app import audit as audit_module
from gateway.app import audit_state as state_module
from gateway.app.audit import Order, audit
from gateway.app.audit_report import Audited
from gateway.app.audit_source import FolderSource, open_source
from gateway.app.audit_state import LogFolder
from gateway.app.audit_tiles import HeadTiles
from gateway.core.roster import SignedRoster
from gateway.errors import LocalError, ProofError, RemoteError, StoreError, StoreRefused, Unreachable
from gateway.tlog.fork import parse_fork, verify_fork
from gateway.tlog.note import parse_vkey
from gateway.tlog.policy import parse_policy
from tests.foreign_log import Clinic, ForeignLog, Key, b64, b64u, digest, jcs, path
from tests.kills import killed_at_each_step
from tests.rosters import following, member, roster, roster_key, signed

NOW_MS = 1_800_000_000_000
ORIGIN = "clinic.example/rig-1"


class Monitor:
    """Follows what is in a folder.

    Args:
        folder: of the test.
        vkeys: of the log.
    """

    def __init__(self, folder: Path, *vkeys: str, state: str = "state") -> None:
        self.served, self.state = folder / "served", folder / state
        self.vkeys = vkeys
        self.now_ms = NOW_MS

    def run(self, **changed: Any) -> Audited:
        self.now_ms += 1000
        vkeys = tuple(map(parse_vkey, changed.pop("vkeys", self.vkeys)))
        order = Order(str(changed.pop("source", self.served)), vkeys, self.state, patience_s=0, **changed)
        return asyncio.run(audit(order, self.now_ms))

    def shows(
        self, log: ForeignLog, note: bytes | None = None, size: int | None = None, **changed: Any
    ) -> Audited:
        """Let the log be served, and follow it once."""
        log.write(self.served, note, size)
        return self.run(**changed)

    def file(self, name: str) -> Path:
        (folder,) = (one for one in self.state.iterdir() if one.is_dir())
        return folder / name


def codes(told: Audited, *levels: str) -> list[str]:
    return [one.code for one in told.findings if not levels or one.level in levels]


def faults(told: Audited) -> list[str]:
    return codes(told, "fault")


def plain(count: int, origin: str = "foreign.example/log") -> ForeignLog:
    return ForeignLog(origin, [b"entry %d" % n for n in range(count)])


@pytest.fixture
def clinic() -> Clinic:
    made = Clinic(ORIGIN)
    made.session("a", "open")
    made.batches(5)
    return made


@pytest.fixture
def monitor(tmp_path: Path, clinic: Clinic) -> Monitor:
    return Monitor(tmp_path, clinic.log.key.vkey)


def convicts(told: Audited, vkey: str, a: int, b: int) -> None:
    """The evidence stands in the file that is named, and convinces anyone who has the key."""
    assert told.exit_code == 65
    assert faults(told) == ["forked"]
    assert f"of {a} and of {b} entries" in told.findings[-1].message
    fork = parse_fork(Path(told.evidence).read_bytes())
    assert Path(told.evidence).read_bytes() == fork.encode()
    assert [one.size for one in verify_fork(fork, parse_vkey(vkey))] == [a, b]


# ---- a log that grows -------------------------------------------------------------------------------------------


def test_a_log_that_grows_is_followed_entry_by_entry(monitor: Monitor, clinic: Clinic) -> None:
    told = monitor.shows(clinic.log)
    assert (told.exit_code, codes(told)) == (0, ["first"])
    assert (told.checked, told.read, told.batch, told.kind) == (6, 6, 5, "vestibule")
    assert told.gateways == [clinic.did]
    sizes = [6]
    for count in (1, 250, 3, 256, 300):
        clinic.batches(count - 1)
        clinic.session("a", "drain") if count == 3 else clinic.batches()
        told = monitor.shows(clinic.log)
        sizes.append(len(clinic.log.entries))
        assert (told.exit_code, codes(told)) == (0, [])
        assert told.before is not None
        assert told.head is not None
        assert (told.before.size, told.head.size) == tuple(sizes[-2:])
        assert (told.checked, told.read) == (sizes[-1], sizes[-1] - sizes[-2])
    assert told.types == {"session": 2, "batch": sizes[-1] - 2}
    again = monitor.run()
    assert (again.exit_code, again.read, codes(again)) == (0, 0, [])


def test_nothing_is_read_again(monitor: Monitor, clinic: Clinic) -> None:
    clinic.batches(300)
    monitor.shows(clinic.log)
    clinic.batches(2)
    clinic.log.write(monitor.served)
    for name in ("tile/entries/000", "tile/0/000"):
        (monitor.served / name).unlink()
    assert monitor.run().exit_code == 0


@pytest.mark.parametrize("sizes", [(1, 2), (255, 256, 257), (0, 1, 511, 512, 513, 1000), (256, 700)])
def test_any_log_of_tiles_is_followed_by_its_tree(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    log = plain(max(sizes))
    monitor = Monitor(tmp_path, log.key.vkey)
    for size in sizes:
        told = monitor.shows(log, size=size)
        assert told.exit_code == 0, told.findings
        assert told.head is not None
        assert told.head.size == size
        assert (told.checked, told.kind) == (0, "other" if size else "")
    assert "other_log" not in codes(told), "it is said once"


def test_a_log_with_three_levels_of_tiles_is_followed(tmp_path: Path) -> None:
    log = plain(66_000)
    monitor = Monitor(tmp_path, log.key.vkey)
    for size in (300, 65_536, 65_537, 66_000):
        assert monitor.shows(log, size=size).exit_code == 0
    other = log.copy()
    other.entries[65_500] = b"other"
    convicts(monitor.shows(other), log.key.vkey, 66_000, 66_000)


def test_entries_that_were_asked_for_must_be_there(tmp_path: Path) -> None:
    log = plain(10)
    monitor = Monitor(tmp_path, log.key.vkey)
    for _ in range(2):
        assert faults(monitor.shows(log, entries=True)) == ["other_log"]
    assert monitor.run().exit_code == 0


def test_without_entries_only_the_edge_is_read(monitor: Monitor, clinic: Clinic) -> None:
    clinic.batches(1000)
    clinic.log.write(monitor.served)
    shutil.rmtree(monitor.served / "tile" / "entries")
    (monitor.served / "tile/0/000").unlink()
    told = monitor.run(entries=False)
    assert (told.exit_code, told.checked, told.newest_of) == (0, 0, "seen")
    told = monitor.shows(clinic.log)
    assert (told.exit_code, told.checked) == (0, 1006), "they can be asked for later"


def test_partial_tiles_that_were_cleaned_up_are_read_from_the_full_ones(
    monitor: Monitor, clinic: Clinic
) -> None:
    clinic.batches(600)
    log = clinic.log
    log.write(monitor.served, log.note(300))
    assert not (monitor.served / "tile/0/001.p").exists()
    (monitor.served / "tile/1/000.p/1").write_bytes(log.files(300)["tile/1/000.p/1"])  # none is full there
    told = monitor.run()
    assert (told.exit_code, told.checked) == (0, 300)


def test_a_log_of_another_name_in_the_same_state(tmp_path: Path, monitor: Monitor, clinic: Clinic) -> None:
    other = Clinic("clinic.example/rig-2")
    other.batches(3)
    assert monitor.shows(clinic.log).exit_code == 0
    told = monitor.shows(other.log, vkeys=[other.log.key.vkey])
    assert (told.exit_code, codes(told)) == (0, ["first"])
    assert len([one for one in monitor.state.iterdir() if one.is_dir()]) == 2


# ---- heads that contradict --------------------------------------------------------------------------------------


def test_two_roots_at_one_size_are_evidence(monitor: Monitor, clinic: Clinic) -> None:
    monitor.shows(clinic.log)
    other = clinic.log.copy()
    other.entries[2] += b" "
    convicts(monitor.shows(other), clinic.log.key.vkey, 6, 6)


@pytest.mark.parametrize("entries", [None, False])
@pytest.mark.parametrize(("old", "new"), [(6, 7), (6, 300), (256, 257), (256, 700), (300, 1000)])
def test_a_larger_head_of_another_history_is_evidence(
    monitor: Monitor, clinic: Clinic, old: int, new: int, entries: bool | None
) -> None:
    clinic.batches(new - 6)
    monitor.shows(clinic.log, size=old, entries=entries)
    other = clinic.log.copy()
    other.entries[3] = other.entries[4]
    convicts(monitor.shows(other, entries=entries), clinic.log.key.vkey, old, new)
    assert faults(monitor.shows(clinic.log)) == ["forked"], "for ever, whatever is served"
    assert not monitor.run().findings[0].new


@pytest.mark.parametrize("size", [1, 5, 100, 256, 300])
def test_a_smaller_head_of_another_history_is_evidence(monitor: Monitor, clinic: Clinic, size: int) -> None:
    # As when a gateway is set back to a backup, and goes on: the log shows nothing of its longer past any more.
    clinic.batches(400)
    monitor.shows(clinic.log)
    other = clinic.log.copy(size)
    other.entries[size - 1] = b'{"other":1}'
    convicts(monitor.shows(other), clinic.log.key.vkey, size, 406)


def test_without_entries_a_smaller_head_is_held_against_those_seen(monitor: Monitor, clinic: Clinic) -> None:
    clinic.batches(400)
    for size in (100, 406):
        monitor.shows(clinic.log, size=size, entries=False)
    other = clinic.log.copy(100)
    other.entries[99] = b"other"
    convicts(monitor.shows(other, entries=False), clinic.log.key.vkey, 100, 100)


def test_without_entries_it_is_held_against_the_tiles_that_are_served(
    monitor: Monitor, clinic: Clinic
) -> None:
    clinic.batches(400)
    monitor.shows(clinic.log, entries=False)
    other = clinic.log.copy(100)
    other.entries[99] = b"other"
    convicts(monitor.shows(clinic.log, other.note(), entries=False), clinic.log.key.vkey, 100, 406)


def test_what_cannot_be_told_convicts_nobody(monitor: Monitor, clinic: Clinic) -> None:
    clinic.batches(400)
    monitor.shows(clinic.log, entries=False)
    other = clinic.log.copy(100)
    other.entries[99] = b"other"
    told = monitor.shows(other, entries=False)
    assert (told.exit_code, codes(told)) == (75, ["older_head"])
    assert "cannot be told" in told.findings[0].message


def test_evidence_is_copied_where_it_was_asked_for(tmp_path: Path, monitor: Monitor, clinic: Clinic) -> None:
    monitor.shows(clinic.log)
    other = clinic.log.copy()
    other.entries[0] = b"other"
    told = monitor.shows(other)
    assert told.document()["evidence"] == told.evidence
    assert monitor.run().evidence == told.evidence


# ---- heads that are older ---------------------------------------------------------------------------------------


def test_an_older_head_is_a_cache_first_and_a_rollback_if_it_stays(monitor: Monitor, clinic: Clinic) -> None:
    clinic.batches(300)
    monitor.shows(clinic.log)
    told = monitor.shows(clinic.log, size=200)
    assert (told.exit_code, codes(told)) == (75, ["older_head"])
    assert "one of its earlier heads" in told.findings[0].message
    assert codes(monitor.run()) == ["older_head"]
    monitor.now_ms += 61_000
    told = monitor.run()
    assert (told.exit_code, codes(told)) == (65, ["rolled_back"])
    assert told.before is not None
    assert told.before.size == 306, "what was seen stays"
    told = monitor.shows(clinic.log)
    assert (told.exit_code, codes(told)) == (0, [])
    assert codes(monitor.shows(clinic.log, size=0)) == ["older_head"], "and it begins again"


# ---- keys -------------------------------------------------------------------------------------------------------


def test_a_head_of_an_unknown_key_is_refused(monitor: Monitor, clinic: Clinic) -> None:
    monitor.shows(clinic.log)
    thief = Key(ORIGIN, "thief")
    clinic.batches()
    told = monitor.shows(clinic.log, clinic.log.note(keys=[thief]))
    assert (told.exit_code, faults(told)) == (65, ["head_key"])
    assert thief.id.hex() in told.findings[0].message
    assert told.head is None
    assert monitor.shows(clinic.log).exit_code == 0, "it left no trace"


def test_a_signature_that_fails_is_refused_whatever_else_signed(monitor: Monitor, clinic: Clinic) -> None:
    second = Key(ORIGIN, "second")
    note = clinic.log.note(keys=[clinic.log.key, second])
    at = note.rindex(b" ") + 20
    note = note[:at] + (b"A" if note[at : at + 1] != b"A" else b"B") + note[at + 1 :]
    told = monitor.shows(clinic.log, note, vkeys=[clinic.log.key.vkey, second.vkey])
    assert faults(told) == ["note_signature"]


def test_a_rotated_key_is_accepted_by_its_entry_alone(monitor: Monitor, clinic: Clinic) -> None:
    monitor.shows(clinic.log)
    old, new = clinic.log.key, Key(ORIGIN, "new")
    at = clinic.rotate("log", old.vkey, new.vkey, old, new)
    told = monitor.shows(clinic.log, clinic.log.note(keys=[old, new]))
    assert (told.exit_code, codes(told)) == (0, ["key_rotated"])
    assert told.findings[0].entry == at
    assert [(key.vkey, key.entry) for key in told.keys] == [(old.vkey, None), (new.vkey, at)]
    clinic.batches()
    told = monitor.shows(clinic.log, clinic.log.note(keys=[new]))
    assert (told.exit_code, codes(told), told.signed_by) == (0, [], [new.vkey])
    newest = Key(ORIGIN, "newest")
    clinic.rotate("log", new.vkey, newest.vkey, new, newest)
    assert codes(monitor.shows(clinic.log, clinic.log.note(keys=[new]))) == ["key_rotated"]
    assert monitor.shows(clinic.log, clinic.log.note(keys=[newest]), vkeys=[newest.vkey]).exit_code == 0
    # An old head contradicts a new one, also where other keys signed them.
    other = clinic.log.copy()
    other.entries[0] = b"other"
    told = monitor.shows(other, other.note(keys=[newest]), vkeys=[newest.vkey])
    assert faults(told) == ["forked"]


def test_a_key_that_rotated_while_nobody_looked_must_be_given(monitor: Monitor, clinic: Clinic) -> None:
    monitor.shows(clinic.log)
    old, new = clinic.log.key, Key(ORIGIN, "new")
    clinic.rotate("log", old.vkey, new.vkey, old, new)
    note = clinic.log.note(keys=[new])
    assert faults(monitor.shows(clinic.log, note)) == ["head_key"]
    with pytest.raises(StoreRefused) as refused:
        monitor.run(vkeys=[new.vkey])
    assert refused.value.code == "audit_key"
    told = monitor.run(vkeys=[old.vkey, new.vkey])
    assert (told.exit_code, codes(told)) == (0, ["key_given", "key_rotated"])
    assert monitor.run(vkeys=[new.vkey]).exit_code == 0


def test_who_begins_to_watch_after_rotations_needs_only_the_newest_key(
    monitor: Monitor, clinic: Clinic
) -> None:
    keys = [clinic.log.key, Key(ORIGIN, "second"), Key(ORIGIN, "third")]
    for old, new in itertools.pairwise(keys):
        clinic.rotate("log", old.vkey, new.vkey, old, new)
    told = monitor.shows(clinic.log, clinic.log.note(keys=keys[-1:]), vkeys=[keys[-1].vkey])
    assert (told.exit_code, faults(told)) == (0, [])
    assert codes(told).count("key_rotated") == 2
    assert [key.vkey for key in told.keys] == [keys[-1].vkey], "older keys are not accepted for that"


@pytest.mark.parametrize("wrong", ["old", "by_old", "by_new", "gateway"])
def test_a_rotation_that_does_not_hold_brings_no_key(monitor: Monitor, clinic: Clinic, wrong: str) -> None:
    old, new, thief = clinic.log.key, Key(ORIGIN, "new"), Key(ORIGIN, "thief")
    match wrong:
        case "old":  # signed well, by a key that is not the log's
            clinic.rotate("log", thief.vkey, new.vkey, thief, new)
        case "by_old":
            clinic.rotate("log", old.vkey, new.vkey, thief, new)
        case "by_new":
            clinic.rotate("log", old.vkey, new.vkey, old, thief)
        case "gateway":  # what was signed is of another gateway
            mine, clinic.entry_key = clinic.entry_key, Key("entry", "other")
            at = clinic.rotate("log", old.vkey, new.vkey, old, new)
            signed = json.loads(clinic.log.entries.pop(at))["body"]
            clinic.entry_key = mine
            clinic.add(
                "key.rotate", **{name: signed[name] for name in ("role", "old", "new", "by_old", "by_new")}
            )
    told = monitor.shows(clinic.log)
    assert (told.exit_code, faults(told)) == (65, ["key_rotate"])
    assert [key.vkey for key in told.keys] == [old.vkey]
    assert "head_key" in faults(monitor.shows(clinic.log, clinic.log.note(keys=[new])))


def test_a_mistyped_key_leaves_no_trace(monitor: Monitor, clinic: Clinic) -> None:
    assert faults(monitor.shows(clinic.log, vkeys=[Key(ORIGIN, "typo").vkey])) == ["head_key"]
    assert monitor.run().exit_code == 0


@pytest.mark.parametrize(
    "keys", [[Key(ORIGIN, "a"), Key("other", "b")], [Key(ORIGIN, "a", 4)]], ids=["two logs", "a witness"]
)
def test_keys_that_are_not_of_one_log_are_a_mistake(monitor: Monitor, keys: list[Key]) -> None:
    with pytest.raises(LocalError) as refused:
        monitor.run(vkeys=[key.vkey for key in keys])
    assert (refused.value.code, refused.value.exit_code) == ("audit_keys", 2)
    assert not monitor.state.exists()


# ---- witnesses and time -----------------------------------------------------------------------------------------

WITNESSES = [Key(f"witness-{n}", f"w{n}", 4) for n in range(4)]
POLICY = parse_policy(
    "".join(f"witness w{n} {key.vkey}\n" for n, key in enumerate(WITNESSES)).encode()
    + b"group three 3 w0 w1 w2 w3\nquorum three\n"
)


def test_a_quorum_is_asked_for_at_the_head(monitor: Monitor, clinic: Clinic) -> None:
    now_s = NOW_MS // 1000
    told = monitor.shows(clinic.log, clinic.log.note(witnesses=WITNESSES[:3], time_s=now_s), policy=POLICY)
    assert (told.exit_code, told.quorum, told.witnesses) == (0, True, ("w0", "w1", "w2"))
    assert (told.newest_of, told.newest_ms) == ("cosignature", now_s * 1000)
    clinic.batches()
    told = monitor.shows(clinic.log, clinic.log.note(witnesses=WITNESSES[1:3], time_s=now_s), policy=POLICY)
    assert (told.exit_code, told.quorum, faults(told)) == (65, False, ["quorum"])
    assert "w1, w2" in told.findings[0].message
    assert told.checked == 7, "the log is followed all the same"
    told = monitor.shows(clinic.log, clinic.log.note(witnesses=WITNESSES, time_s=now_s), policy=POLICY)
    assert told.exit_code == 0


def test_strangers_and_forgers_are_no_witnesses(monitor: Monitor, clinic: Clinic) -> None:
    strangers = [Key(f"witness-{n}", f"x{n}", 4) for n in range(4)]
    assert faults(monitor.shows(clinic.log, clinic.log.note(witnesses=strangers), policy=POLICY)) == [
        "quorum"
    ]
    for stranger, real in zip(strangers, WITNESSES, strict=True):
        stranger.id = real.id
    told = monitor.shows(clinic.log, clinic.log.note(witnesses=strangers), policy=POLICY)
    assert (faults(told), told.quorum) == (["cosignature"], False)


def test_a_policy_of_another_log_is_not_satisfied(monitor: Monitor, clinic: Clinic) -> None:
    policy = parse_policy(f"log {Key('other.example', 'o').vkey}\nquorum none\n".encode())
    assert faults(monitor.shows(clinic.log, policy=policy)) == ["policy_log"]
    policy = parse_policy(f"log {clinic.log.key.vkey}\nquorum none\n".encode())
    assert monitor.run(policy=policy).exit_code == 0


def test_age_is_that_of_the_newest_cosignature(monitor: Monitor, clinic: Clinic) -> None:
    asked: dict[str, Any] = {"policy": POLICY, "max_age_s": 3600}
    for age_s, expected in ((3000, []), (4000, ["stale"]), (-200, []), (-400, ["future"])):
        note = clinic.log.note(witnesses=WITNESSES, time_s=monitor.now_ms // 1000 + 1 - age_s)
        told = monitor.shows(clinic.log, note, **asked)
        assert codes(told, "late") == expected
        assert told.exit_code == (75 if expected else 0)
        assert told.newest_of == "cosignature"


def test_age_without_witnesses_is_that_of_the_newest_entry(monitor: Monitor, clinic: Clinic) -> None:
    monitor.now_ms = clinic.at_ms + 3_000_000
    assert codes(monitor.shows(clinic.log, max_age_s=3600)) == ["first"]
    monitor.now_ms = clinic.at_ms + 4_000_000
    told = monitor.run(max_age_s=3600)
    assert (told.exit_code, codes(told), told.newest_of) == (75, ["stale"], "entry")
    clinic.at_ms = monitor.now_ms
    clinic.batches()
    assert monitor.shows(clinic.log, max_age_s=3600).exit_code == 0


def test_age_of_any_other_log_is_that_of_its_first_sight(tmp_path: Path) -> None:
    log = plain(9)
    monitor = Monitor(tmp_path, log.key.vkey)
    assert monitor.shows(log, max_age_s=60).exit_code == 0
    monitor.now_ms += 61_000
    told = monitor.run(max_age_s=60)
    assert (codes(told), told.newest_of) == (["stale"], "seen")
    log.entries.append(b"more")
    assert monitor.shows(log, max_age_s=60).exit_code == 0


@pytest.mark.parametrize("awaited", ["quorum", "newer head"])
def test_a_quorum_and_a_newer_head_are_waited_for_a_moment(
    monitor: Monitor, clinic: Clinic, monkeypatch: pytest.MonkeyPatch, awaited: str
) -> None:
    monkeypatch.setattr(audit_module, "ASK_EVERY_S", 0.02)
    notes = [clinic.log.note(), clinic.log.note(witnesses=WITNESSES)]
    if awaited == "newer head":
        notes = [clinic.log.note(5, witnesses=WITNESSES), notes[1]]
        monitor.shows(clinic.log)
    folder = FolderSource(clinic.log.write(monitor.served))

    class Slow:
        async def get(self, name: str, limit: int) -> bytes | None:
            if name != "checkpoint":
                return await folder.get(name, limit)
            return notes.pop(0) if len(notes) > 1 else notes[0]

    async def run() -> Audited:
        vkeys = (parse_vkey(monitor.vkeys[0]),)
        order = Order("", vkeys, monitor.state, POLICY, patience_s=15)
        with LogFolder(monitor.state, ORIGIN) as state:
            run = audit_module._Run(order, state, state.load(), Slow(), NOW_MS, lambda *told: None)
            await run.go()
            return run.told

    told = asyncio.run(run())
    assert (told.exit_code, told.quorum, len(notes)) == (0, True, 1)


# ---- entries ----------------------------------------------------------------------------------------------------


def last(clinic: Clinic) -> dict[str, Any]:
    return json.loads(clinic.log.entries[-1])


def resigned(clinic: Clinic, body: dict[str, Any]) -> bytes:
    signed = clinic.entry_key.private.sign(b"vestibule/entry/v1\0" + jcs(body))
    return jcs({"body": body, "sig": b64u(signed), "v": 1})


def bad_signature(clinic: Clinic) -> None:
    clinic.batches()
    entry = last(clinic)
    entry["sig"] = b64u(bytes(64))
    clinic.log.entries[-1] = jcs(entry)


def spaces(clinic: Clinic) -> None:
    clinic.batches()
    clinic.log.entries[-1] = clinic.log.entries[-1].replace(b":", b": ", 1)


def hole(clinic: Clinic) -> None:
    clinic.batch += 1
    clinic.batches()


def twice(clinic: Clinic) -> None:
    clinic.batch -= 1
    clinic.batches()


def other_gateway(clinic: Clinic) -> None:
    clinic.entry_key, mine = Key("entry", "other"), clinic.entry_key
    clinic.batches()
    clinic.entry_key = mine


def field_too_many(clinic: Clinic) -> None:
    clinic.batches()
    clinic.log.entries[-1] = resigned(clinic, {**last(clinic)["body"], "name": "Jane"})


def garbage(clinic: Clinic) -> None:
    clinic.log.entries.append(b"\x00" * 100)


def no_prev(clinic: Clinic) -> None:
    clinic.session("a", "close", prev=b64u(digest(b"other")))


def skipped_seq(clinic: Clinic) -> None:
    clinic.session("a", "close", seq=2)


def reopened(clinic: Clinic) -> None:
    clinic.session("a", "open", seq=0, prev=None)


def adopted_elsewhere(clinic: Clinic) -> None:
    clinic.add("log.adopt", size=len(clinic.log.entries), root=b64u(digest(b"x")), reason="disk")


def adopted_earlier(clinic: Clinic) -> None:
    root = b64u(clinic.log.subtree(0, 2))
    clinic.add("log.adopt", size=2, root=root, reason="disk")


def restored_elsewhere(clinic: Clinic) -> None:
    clinic.add("log.restore", first=1, size=len(clinic.log.entries), root=b64u(digest(b"x")), reason="wiped")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (bad_signature, "entry"), (spaces, "entry"), (hole, "batch_number"), (twice, "batch_number"),
        (other_gateway, "entry"), (field_too_many, "entry"), (garbage, "entry"), (no_prev, "object"),
        (skipped_seq, "object"), (reopened, "object"), (adopted_elsewhere, "adopt"), (adopted_earlier, "adopt"),
        (restored_elsewhere, "restore"),
    ],
    ids=lambda one: getattr(one, "__name__", one),
)  # fmt: skip
def test_an_entry_that_is_not_right_is_named_for_ever(
    monitor: Monitor, clinic: Clinic, spoil: Callable[[Clinic], None], code: str
) -> None:
    at = len(clinic.log.entries)
    spoil(clinic)
    clinic.session("b", "open")
    told = monitor.shows(clinic.log)
    assert (told.exit_code, faults(told)) == (65, [code])
    (fault,) = [one for one in told.findings if one.level == "fault"]
    assert (fault.entry, fault.new) == (at, True)
    assert told.checked == len(clinic.log.entries), "it goes on after it"
    again = monitor.run()
    assert (again.exit_code, [(one.code, one.entry, one.new) for one in again.findings]) == (
        65,
        [(code, at, False)],
    )


def test_a_person_is_told_what_a_log_went_through(monitor: Monitor, clinic: Clinic) -> None:
    size = len(clinic.log.entries)
    clinic.add("log.adopt", size=size, root=b64u(clinic.log.subtree(0, size)), reason="disk")
    size += 1
    clinic.add("log.restore", first=3, size=size, root=b64u(clinic.log.subtree(0, size)), reason="wiped")
    old, new = Key("gw/w", "w", 4), Key("gw/w", "w2", 4)
    clinic.rotate("witness", old.vkey, new.vkey, old, new)
    clinic.rotate("tls", b64u(digest(b"a")), b64u(digest(b"b")), old, new, by_old="", by_new="")
    fresh = Key("entry", "fresh")
    clinic.rotate("entry", clinic.did, fresh.did, clinic.entry_key, fresh)
    clinic.entry_key = fresh
    clinic.batches()
    clinic.add("weather", wind=3)
    clinic.add("weather", wind=4)
    told = monitor.shows(clinic.log)
    assert told.exit_code == 0, told.findings
    assert codes(told) == ["first", "adopted", "restored", *["key_rotated"] * 3, "unknown_type"]
    assert "2 of the entries" in told.findings[-1].message
    assert told.gateways[-1] == fresh.did
    assert monitor.run().findings == []


def test_a_generation_is_held_against_the_log_it_replaces(monitor: Monitor, clinic: Clinic) -> None:
    monitor.shows(clinic.log)
    for size, root, expected in (
        (6, clinic.log.subtree(0, 6), []),
        (6, digest(b"other"), ["generation"]),
        (4, clinic.log.subtree(0, 4), ["generation_short"]),
    ):
        after = Clinic(f"{ORIGIN}-g{len(list(monitor.state.iterdir()))}")
        after.add("log.generation", old_origin=ORIGIN, size=size, root=b64u(root), note="", reason="lost")
        after.batch = 7
        after.batches()
        told = monitor.shows(after.log, vkeys=[after.log.key.vkey])
        assert codes(told) == ["first", "new_generation", *expected]
        assert told.exit_code == (65 if expected == ["generation"] else 0)


def test_what_began_in_the_old_log_goes_on_in_the_new_one(monitor: Monitor, clinic: Clinic) -> None:
    after = Clinic(f"{ORIGIN}-g2")
    after.add(
        "log.generation",
        old_origin=ORIGIN,
        size=6,
        root=b64u(clinic.log.subtree(0, 6)),
        note="",
        reason="lost",
    )
    after.objects = dict(clinic.objects)
    after.session("a", "drain")
    after.session("a", "close")
    after.session("b", "open")
    told = monitor.shows(after.log, vkeys=[after.log.key.vkey])
    assert (told.exit_code, codes(told)) == (0, ["first", "new_generation"])
    after.session("a", "close", seq=7)
    assert faults(monitor.shows(after.log, vkeys=[after.log.key.vkey])) == ["object"]


def add_roster(clinic: Clinic, document: SignedRoster, **changed: Any) -> int:
    fields = {"version": document.roster.version, "hash": b64u(document.roster.hash())}
    return clinic.add("roster", roster=json.loads(document.raw), **fields | changed)


def test_versions_of_the_roster_are_held_against_each_other(monitor: Monitor, clinic: Clinic) -> None:
    members = [member(name) for name in ("a", "b", "c", "d")]
    one = roster(*members[:2])
    two = following(one, *members[:3])
    three = following(two, *members)
    add_roster(clinic, signed(one))
    told = monitor.shows(clinic.log)
    assert (told.exit_code, codes(told)) == (0, ["first", "new_roster"])
    assert "version 1" in told.findings[1].message
    assert "a, b" in told.findings[1].message
    add_roster(clinic, signed(two))
    add_roster(clinic, signed(two))
    add_roster(clinic, signed(following(three, *members)))
    told = monitor.shows(clinic.log)
    assert (told.exit_code, codes(told)) == (0, ["new_roster"] * 3)
    assert "after version 2" in told.findings[2].message
    add_roster(clinic, signed(three))
    assert faults(monitor.shows(clinic.log)) == ["roster"], "an older one"


@pytest.mark.parametrize("wrong", ["signature", "prev", "hash", "policy", "twin"])
def test_a_roster_that_does_not_hold_is_a_fault(monitor: Monitor, clinic: Clinic, wrong: str) -> None:
    one = roster(member("a"), member("b"))
    add_roster(clinic, signed(one))
    monitor.shows(clinic.log)
    two = following(one, member("a"), member("c"))
    match wrong:
        case "signature":
            add_roster(clinic, signed(two, "thief"))
        case "prev":
            add_roster(clinic, signed(following(one, member("a"), member("c"), prev=digest(b"other"))))
        case "hash":
            add_roster(clinic, signed(two), hash=b64u(digest(b"other")))
        case "policy":
            at = add_roster(clinic, signed(two))
            body = json.loads(clinic.log.entries.pop(at))["body"]
            body["roster"]["roster"]["policy"] = "quorum none\n"
            body["hash"] = b64u(digest(jcs(body["roster"]["roster"])))
            clinic.log.entries.append(resigned(clinic, body))
        case "twin":
            add_roster(clinic, signed(roster(member("a"), member("c"))))
    told = monitor.shows(clinic.log)
    assert (told.exit_code, faults(told)) == (65, ["entry" if wrong == "hash" else "roster"])


def test_keys_of_the_roster_may_change_with_both_signing(monitor: Monitor, clinic: Clinic) -> None:
    one = roster(member("a"), member("b"))
    two = following(one, keys=(roster_key("other"),))
    add_roster(clinic, signed(one))
    add_roster(clinic, signed(two, "roster", "other"))
    add_roster(clinic, signed(following(two), "other"))
    assert codes(monitor.shows(clinic.log)) == ["first", *["new_roster"] * 3]


def test_a_policy_that_is_not_the_rosters_is_told(monitor: Monitor, clinic: Clinic) -> None:
    one = roster(member("a"), member("b"))
    add_roster(clinic, signed(one))
    assert "policy_differs" in codes(monitor.shows(clinic.log, policy=POLICY))
    told = monitor.shows(clinic.log, policy=one.parsed_policy())
    assert codes(told) == ["policy_log"], "it lists the logs of a and b"


def test_many_faults_are_counted_and_not_all_listed(monitor: Monitor, clinic: Clinic) -> None:
    for _ in range(150):
        hole(clinic)
    told = monitor.shows(clinic.log)
    assert len(faults(told)) == 20
    assert "130 more findings" in next(one.message for one in told.findings if one.code == "more")
    assert len(faults(monitor.run())) == 100


def test_a_run_that_was_cut_short_goes_on_where_it_was(
    monitor: Monitor, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    clinic.batches(2500)
    monkeypatch.setattr(audit_module, "ENTRIES_A_RUN", 600)
    told = monitor.shows(clinic.log)
    assert (told.exit_code, codes(told), told.checked) == (75, ["first", "unfinished"], 768)
    clinic.batches(10)
    read = [monitor.shows(clinic.log)]
    while read[-1].exit_code == 75:
        read.append(monitor.run())
    assert [told.read for told in read] == [768, 768, 212]
    assert (read[-1].exit_code, read[-1].checked, read[-1].batch) == (0, 2516, 2515)


def test_a_part_that_is_away_does_not_undo_what_was_read(monitor: Monitor, clinic: Clinic) -> None:
    clinic.batches(1500)
    clinic.log.write(monitor.served)
    away = monitor.served / "tile/entries/003"
    data = away.read_bytes()
    away.unlink()
    told = monitor.run()
    assert (told.exit_code, codes(told), told.checked) == (69, ["first", "log_missing"], 768)
    away.write_bytes(data)
    told = monitor.run()
    assert (told.exit_code, told.read) == (0, 1506 - 768)


# ---- what is served is not what was signed ----------------------------------------------------------------------


def flip(file: Path, at: int = 5) -> None:
    with file.open("r+b") as there:
        there.seek(at)
        was = there.read(1)[0]
        there.seek(at)
        there.write(bytes([was ^ 1]))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("tile/0/005.p/220", "tiles_root"), ("tile/1/000.p/5", "tiles_root"), ("tile/0/003", "tile"),
        ("tile/entries/003", "bundle"), ("tile/entries/005.p/220", "bundle"),
    ],
)  # fmt: skip
def test_a_changed_byte_has_a_name(monitor: Monitor, clinic: Clinic, name: str, code: str) -> None:
    clinic.batches(1494)
    clinic.log.write(monitor.served)
    flip(monitor.served / name, 300 if "entries" in name else 5)
    told = monitor.run()
    assert (told.exit_code, faults(told)) == (65, [code])
    assert code == "tiles_root" or name in told.findings[-1].message
    assert monitor.shows(clinic.log).exit_code == 0, "the fault is the server's, and not the log's"


@pytest.mark.parametrize(("change", "code"), [(b"x", "tile_length"), (None, "tile_length")])
def test_a_tile_of_another_length_is_no_tile(
    monitor: Monitor, clinic: Clinic, change: bytes | None, code: str
) -> None:
    clinic.log.write(monitor.served)
    file = monitor.served / "tile/0/000.p/6"
    file.write_bytes(file.read_bytes() + change if change else b"")
    assert faults(monitor.run()) == [code]


@pytest.mark.parametrize(
    "note",
    [b"", b"\n\n", b"hello\n", b"\xff" * 50, b"x" * 200_000],
    ids=["empty", "lines", "text", "no text", "huge"],
)
def test_what_is_no_head_is_refused(monitor: Monitor, clinic: Clinic, note: bytes) -> None:
    clinic.log.write(monitor.served)
    (monitor.served / "checkpoint").write_bytes(note)
    assert monitor.run().exit_code == 65


def test_another_logs_head_is_told_apart(monitor: Monitor, clinic: Clinic) -> None:
    told = monitor.shows(plain(3))
    assert faults(told) == ["head_origin"]
    assert digest(ORIGIN.encode()).hex() in told.findings[0].hint


def test_nothing_there_is_away(monitor: Monitor) -> None:
    told = monitor.run()
    assert (told.exit_code, codes(told)) == (69, ["head_missing"])


@pytest.mark.parametrize("size", [2**60, 2**63 - 1, 2**60 + 7])
@pytest.mark.parametrize("served", ["nothing", "zeros"])
def test_a_huge_size_is_a_claim_and_no_work(monitor: Monitor, clinic: Clinic, size: int, served: str) -> None:
    monitor.shows(clinic.log)
    clinic.log.write(monitor.served, clinic.log.note(size, root=digest(b"x")))
    asked: list[str] = []

    class Zeros:
        async def get(self, name: str, limit: int) -> bytes | None:
            asked.append(name)
            if name == "checkpoint":
                return (monitor.served / name).read_bytes()
            return bytes(32 * int(name.rpartition("/")[2])) if served == "zeros" and ".p/" in name else None

    async def run() -> Audited:
        order = Order("", (parse_vkey(monitor.vkeys[0]),), monitor.state)
        with LogFolder(monitor.state, ORIGIN) as folder:
            run = audit_module._Run(order, folder, folder.load(), Zeros(), NOW_MS, lambda *told: None)
            await run.go()
            return run.told

    told = asyncio.run(run())
    assert codes(told) == (["tiles_root"] if served == "zeros" else ["log_missing"])
    assert len(asked) <= 1 + 2 * 8
    assert monitor.shows(clinic.log).exit_code == 0


def test_a_log_of_2_to_the_60_equal_entries_is_followed_a_piece_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The worst that a log can sign: a tree whose every tile can be made up, as all its leaves are one entry.
    monkeypatch.setattr(audit_module, "ENTRIES_A_RUN", 1000)
    clinic = Clinic(ORIGIN)
    clinic.add("weather", wind=1)
    (entry,) = clinic.log.entries
    hashes = [digest(b"\0" + entry)]
    for _ in range(63):
        hashes.append(digest(b"\1" + hashes[-1] * 2))
    size = 2**60
    tiles = [hashes[8 * level] for level in range(8)]
    asked: list[str] = []

    class Made:
        async def get(self, name: str, limit: int) -> bytes | None:
            asked.append(name)
            if name == "checkpoint":
                return clinic.log.note(size, root=hashes[60])
            width = int(name.rpartition(".p/")[2]) if ".p/" in name else 256
            if name.startswith("tile/entries/"):
                return (len(entry).to_bytes(2, "big") + entry) * width
            return tiles[int(name.split("/")[1])] * width

    state = tmp_path / "state"

    async def run() -> Audited:
        order = Order("", (parse_vkey(clinic.log.key.vkey),), state)
        with LogFolder(state, ORIGIN) as folder:
            run = audit_module._Run(order, folder, folder.load(), Made(), NOW_MS, lambda *told: None)
            await run.go()
            return run.told

    for number in (1, 2):
        told = asyncio.run(run())
        assert (told.exit_code, told.checked) == (75, 1024 * number)
        assert "unfinished" in codes(told)
        assert len(asked) < 60 * number


# ---- the state --------------------------------------------------------------------------------------------------


def test_every_changed_byte_of_the_state_is_seen(monitor: Monitor, clinic: Clinic) -> None:
    monitor.shows(clinic.log)
    file = monitor.file("state")
    good = file.read_bytes()
    for at in range(len(good)):
        flip(file, at)
        with LogFolder(monitor.state, ORIGIN) as folder, pytest.raises(StoreRefused) as refused:
            folder.load()
        assert (refused.value.code, refused.value.exit_code) == ("audit_damaged", 78)
        assert refused.value.hint
        flip(file, at)
    assert file.read_bytes() == good
    for length in (0, 1, len(good) // 2, len(good) - 1):
        file.write_bytes(good[:length])
        with pytest.raises(StoreRefused):
            monitor.run()
    file.write_bytes(good)
    assert monitor.run().exit_code == 0


def test_leaf_hashes_that_are_not_there_are_seen(monitor: Monitor, clinic: Clinic) -> None:
    clinic.batches(300)
    monitor.shows(clinic.log)
    for name, spoil in (("hashes-0", flip_last), ("hashes-1", flip_last), ("hashes-0", cut)):
        good = monitor.file(name).read_bytes()
        spoil(monitor.file(name))
        with pytest.raises(StoreRefused) as refused:
            monitor.run()
        assert refused.value.code == "audit_damaged"
        monitor.file(name).write_bytes(good)
    # In the middle of the log it shows when it is needed, and convicts nobody.
    flip(monitor.file("hashes-0"), 32 * 100)
    assert monitor.run().exit_code == 0
    with pytest.raises(StoreRefused) as refused:
        monitor.shows(clinic.log, size=150)
    assert refused.value.code == "audit_damaged"


def flip_last(file: Path) -> None:
    flip(file, file.stat().st_size - 1)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def test_a_state_that_lost_its_memory_is_not_begun_anew(monitor: Monitor, clinic: Clinic) -> None:
    monitor.shows(clinic.log)
    monitor.file("state").unlink()
    with pytest.raises(StoreRefused) as refused:
        monitor.run()
    assert refused.value.code == "audit_damaged"


def test_what_is_no_state_directory_is_left_alone(tmp_path: Path, monitor: Monitor, clinic: Clinic) -> None:
    monitor.state.mkdir()
    (monitor.state / "letter.txt").write_text("mine")
    with pytest.raises(StoreRefused) as refused:
        monitor.shows(clinic.log)
    assert (refused.value.code, refused.value.exit_code) == ("audit_foreign", 78)
    assert [one.name for one in monitor.state.iterdir()] == ["letter.txt"]
    monitor.state = tmp_path / "file"
    monitor.state.write_text("x")
    with pytest.raises(StoreRefused):
        monitor.run()
    monitor.state = tmp_path / "newer"
    monitor.state.mkdir()
    (monitor.state / "vestibule-audit").write_text("2\n")
    with pytest.raises(StoreRefused) as refused:
        monitor.run()
    assert refused.value.code == "audit_newer"


def test_a_state_of_another_log_or_release_is_refused(
    tmp_path: Path, monitor: Monitor, clinic: Clinic
) -> None:
    other = Clinic("clinic.example/rig-2")
    other.batches(2)
    monitor.shows(clinic.log)
    mine = monitor.file("state").read_bytes()
    folder = monitor.file("state").parent
    theirs = folder.with_name(digest(other.log.origin.encode()).hex())
    shutil.copytree(folder, theirs)
    with pytest.raises(StoreRefused) as refused:
        monitor.shows(other.log, vkeys=[other.log.key.vkey])
    assert refused.value.code == "audit_foreign"
    line = mine.partition(b"\n")[0].replace(b'"format":1', b'"format":2')
    (folder / "state").write_bytes(line + b"\n" + digest(line).hex().encode() + b"\n")
    with pytest.raises(StoreRefused) as refused:
        monitor.shows(clinic.log)
    assert refused.value.code == "audit_newer"


def test_a_state_that_somebody_wrote_himself_is_refused(monitor: Monitor, clinic: Clinic) -> None:
    monitor.shows(clinic.log)
    document = json.loads(monitor.file("state").read_bytes().partition(b"\n")[0])
    forged = clinic.log.copy()
    forged.entries[0] = b"other"
    changes: list[dict[str, Any]] = [
        {"head": {**document["head"], "note": b64(forged.note(keys=[Key(ORIGIN, "thief")]))}},
        {"head": {**document["head"], "root": b64(bytes(32))}},
        {"whole": {**document["head"], "size": 7}},
        {"checked": 7},
        {"checked": -1},
        {"keys": []},
        {"more": 1},
        {"evidence": "evidence-0011223344556677.json"},
        {"evidence": "../evidence"},
        {"fold": {**document["fold"], "roster": b64(b"{}")}},
        {"fold": 3},
    ]
    for change in changes:
        line = json.dumps({**document, **change}).encode()
        monitor.file("state").write_bytes(line + b"\n" + digest(line).hex().encode() + b"\n")
        with pytest.raises(StoreRefused) as refused:
            monitor.run()
        assert refused.value.code == "audit_damaged", change


def test_evidence_that_was_taken_away_is_missed(monitor: Monitor, clinic: Clinic) -> None:
    monitor.shows(clinic.log)
    other = clinic.log.copy()
    other.entries[0] = b"other"
    file = Path(monitor.shows(other).evidence)
    good = file.read_bytes()
    file.write_bytes(good.replace(b'"proof_b64":[]', b'"proof_b64":["' + b64(bytes(32)).encode() + b'"]'))
    with pytest.raises(StoreRefused):
        monitor.run()
    file.unlink()
    with pytest.raises(StoreRefused) as refused:
        monitor.run()
    assert refused.value.code == "audit_damaged"
    file.write_bytes(good)
    assert faults(monitor.run()) == ["forked"]


def test_a_log_cannot_fill_the_state(
    monitor: Monitor, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        clinic.add(f"type{number}")
    told = monitor.shows(clinic.log)
    assert (told.exit_code, len(told.types), told.types["*"]) == (0, 65, 38)
    monkeypatch.setattr(state_module, "MAX_STATE_BYTES", 100_000)
    for number in range(2000):
        clinic.session(f"s{number}", "open")
    with pytest.raises(StoreRefused) as refused:
        monitor.shows(clinic.log)
    assert refused.value.code == "audit_size"


def test_two_runs_at_once_are_kept_apart(monitor: Monitor, clinic: Clinic) -> None:
    with LogFolder(monitor.state, ORIGIN):
        with pytest.raises(StoreError) as refused:
            monitor.shows(clinic.log)
        assert (refused.value.code, refused.value.exit_code) == ("audit_running", 75)
        other = Clinic("clinic.example/rig-2")
        other.batches(2)
        assert monitor.shows(other.log, vkeys=[other.log.key.vkey]).exit_code == 0, (
            "another log is none of its business"
        )
    assert monitor.shows(clinic.log).exit_code == 0


def test_every_head_is_kept_with_its_date(monitor: Monitor, clinic: Clinic) -> None:
    notes = []
    for _ in range(3):
        clinic.batches()
        notes.append(clinic.log.note())
        monitor.shows(clinic.log)
        monitor.run()
    lines = [json.loads(line) for line in monitor.file("heads").read_bytes().splitlines()]
    assert [line["note"].encode() for line in lines] == notes
    assert [line["seen_ms"] for line in lines] == [NOW_MS + 1000, NOW_MS + 3000, NOW_MS + 5000]
    with monitor.file("heads").open("ab") as file:
        file.write(b'{"seen_ms":1,"no')  # as a crash leaves it
    clinic.batches()
    assert monitor.shows(clinic.log).exit_code == 0
    with LogFolder(monitor.state, ORIGIN) as folder:
        assert list(folder.heads()) == [*notes, clinic.log.note()]


@pytest.mark.slow
def test_killed_at_any_step_the_next_run_goes_on(monitor: Monitor, clinic: Clinic) -> None:
    clinic.batches(300)
    clinic.log.write(monitor.served)
    kills = 0
    for _ in killed_at_each_step(lambda: monitor.run() and None):
        kills += 1
        told = monitor.run()
        assert told.exit_code == 0, told.findings
        assert told.checked == 306
        shutil.rmtree(monitor.state)
    assert kills > 10


# ---- the tiles of a head ----------------------------------------------------------------------------------------


def test_only_what_was_read_is_given(tmp_path: Path) -> None:
    log = plain(700)
    tiles = HeadTiles(FolderSource(log.write(tmp_path / "log")), 700, log.subtree(0, 700))
    asyncio.run(tiles.open())
    assert tiles.hash_tile(0, 2, 3) == log.files()[path(0, 2, 188)][:96]
    with pytest.raises(ProofError) as refused:
        tiles.hash_tile(0, 1, 256)
    assert refused.value.code == "tile_missing"


def test_a_folder_gives_files_and_nothing_else(tmp_path: Path) -> None:
    source = FolderSource(tmp_path)
    (tmp_path / "file").write_bytes(b"123")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")

    def get(name: str, limit: int = 3) -> bytes | None:
        return asyncio.run(source.get(name, limit))

    assert get("file") == b"123"
    with pytest.raises(RemoteError):
        get("file", 2)
    assert [get(name) for name in ("none", "file/x", "pipe", "folder")] == [None] * 4
    if os.geteuid():
        (tmp_path / "file").chmod(0)
        with pytest.raises(Unreachable):
            get("file")


@pytest.mark.parametrize(
    "where", ["ftp://x/y", "http://", "http://user:word@x/", "https://x/?a", "http://x/#b", "https://a b/"]
)
def test_what_is_no_url_of_a_log_is_a_mistake(where: str) -> None:
    async def opened() -> None:
        async with open_source(where):
            pass

    with pytest.raises(LocalError) as refused:
        asyncio.run(opened())
    assert (refused.value.code, refused.value.exit_code) == ("source", 2)
