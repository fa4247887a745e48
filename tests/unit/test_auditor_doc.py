"""The check by hand in docs/auditor.md holds for true proofs, refuses changed ones, and needs nothing of ours."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import shutil
import subprocess
import sys
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from paths import ROOT

from gateway.app.audit_report import EXITS, Audited
from gateway.app.evidence import encode_evidence, prove_frame
from gateway.keys.did import did_key
from gateway.store.keyfiles import load_keys
from gateway.store.snapshot import Snapshot
from gateway.store.subjects import Subjects
from gateway.store.vault import Vault
from gateway.tlog.checkpoint import Checkpoint, origin_hash, sign_checkpoint
from gateway.tlog.note import VerifierKey
from tests.stores import make_store

SOURCE = re.search(
    r"^```python\n(.*?)^```$", (ROOT / "docs" / "auditor.md").read_text(encoding="utf-8"), re.M | re.S
)
FRAMES = 200  # a count of two bytes in MessagePack, and a tree that is not full
SESSIONS = 3

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="the check uses the openssl command")


class Auditor:
    """The script, the keys that an auditor has, and proofs."""

    def __init__(self, folder: Path) -> None:
        assert SOURCE is not None
        self.script = folder / "check.py"
        self.script.write_text(SOURCE[1], encoding="utf-8")
        self.folder = folder
        facts = asyncio.run(make_store(folder / "data", sessions=SESSIONS, frames=FRAMES))
        keys = load_keys(facts.layout)
        self.vkey = VerifierKey.of(keys.origin, keys.log.public).encode()
        self.did = did_key(keys.entry.public)
        subjects = Subjects(facts.layout.subjects, keys.master)
        vault = Vault.open(facts.layout.vault, bytes.fromhex(origin_hash(keys.origin)))
        self.proofs: list[bytes] = []
        with Snapshot(facts.layout.database) as snapshot:
            head = snapshot.head()
            note = sign_checkpoint(Checkpoint(keys.origin, head.size, head.root), keys.origin, keys.log)
            for row in [row for row in snapshot.iter_parts() if row.frames]:
                whose = facts.subjects[[bytes(one) for one in facts.sessions].index(row.session)]
                for index in {0, row.frames // 2, row.frames - 1}:
                    document = prove_frame(snapshot, vault, subjects.key(whose), row, index, note)
                    self.proofs.append(encode_evidence(document))
        subjects.close()

    def check(self, proof: bytes, vkey: str = "", did: str = "") -> subprocess.CompletedProcess[str]:
        file = self.folder / "sample.proof"
        file.write_bytes(proof)
        # -I: no environment and no path of ours, so that nothing of Vestibule can be imported.
        command = [
            sys.executable,
            "-I",
            "-S",
            str(self.script),
            str(file),
            vkey or self.vkey,
            did or self.did,
        ]
        return subprocess.run(command, capture_output=True, text=True, cwd=self.folder)


@pytest.fixture(scope="module")
def auditor(tmp_path_factory: pytest.TempPathFactory) -> Auditor:
    return Auditor(tmp_path_factory.mktemp("auditor"))


def test_it_imports_the_standard_library_alone() -> None:
    assert SOURCE is not None
    imported = {
        alias.name
        for node in ast.walk(ast.parse(SOURCE[1]))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported <= sys.stdlib_module_names
    assert not [node for node in ast.walk(ast.parse(SOURCE[1])) if isinstance(node, ast.ImportFrom)]


def test_true_proofs_hold(auditor: Auditor) -> None:
    assert len(auditor.proofs) >= 2 * SESSIONS
    for proof in auditor.proofs:
        done = auditor.check(proof)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("holds: batch ")


@pytest.mark.parametrize(
    "field", ["frame", "salt", "header", "entry", "frame_path", "header_path", "tlog_proof"]
)
def test_a_changed_proof_does_not_hold(auditor: Auditor, field: str) -> None:
    document = json.loads(auditor.proofs[0])
    value = document[field]
    if field == "tlog_proof":
        # The last letter but one of the head's signature carries six of its bits.
        document[field] = value[:-4] + ("A" if value[-4] != "A" else "B") + value[-3:]
    else:
        text = value[0] if isinstance(value, list) else value
        data = bytearray(b64decode(text))
        data[len(data) // 2] ^= 1
        changed = b64encode(bytes(data)).decode()
        document[field] = [changed, *value[1:]] if isinstance(value, list) else changed
    assert auditor.check(encode_evidence(document)).returncode == 1


@pytest.mark.parametrize("field", ["frame_index", "frame_count", "part_index", "part_count"])
def test_a_wrong_place_does_not_hold(auditor: Auditor, field: str) -> None:
    document = json.loads(auditor.proofs[0])
    document[field] += 1
    assert auditor.check(encode_evidence(document)).returncode == 1


def test_another_key_does_not_hold(auditor: Auditor) -> None:
    other = bytes(32)
    name = auditor.vkey.split("+")[0]
    assert auditor.check(auditor.proofs[0], vkey=VerifierKey.of(name, other).encode()).returncode == 1
    assert auditor.check(auditor.proofs[0], did=did_key(other)).returncode == 1


# ---- what `audit` says ------------------------------------------------------------------------------------------


def test_every_finding_of_the_monitor_is_explained() -> None:
    text = (ROOT / "docs" / "auditor.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (\d+) \| ((?:`\w+` ?)+)\|", text, re.M)
    told = {code: (level, int(exit)) for level, exit, codes in rows for code in re.findall(r"`(\w+)`", codes)}
    assert all(exit == EXITS[level] for level, exit in told.values())
    said: dict[str, str] = {}
    for path in [*(ROOT / "gateway" / "app").glob("audit*.py"), ROOT / "gateway/app/cli/audit.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            words = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            match name:
                case "add" if len(words) > 1 and words[0] in EXITS:
                    said[words[1]] = words[0]
                case "_fault" | "_note" if words:
                    said[words[0]] = name[1:]
                case "Unreachable":
                    said[words[0]] = "away"
                case "RemoteError":
                    said[words[0]] = "fault"
                case "ProofError" | "SignatureError" if path.stem in ("audit_heads", "audit_tiles"):
                    said[words[0]] = "fault"
    del said["tile_missing"]  # which nothing that is read can bring about
    assert len(said) > 35
    assert {code: told.get(code, ("", 0))[0] for code in said} == said


def test_the_members_of_its_json_are_explained() -> None:
    text = (ROOT / "docs" / "auditor.md").read_text(encoding="utf-8")
    table = text.partition("| member | what |")[2].partition("\n\n")[0]
    told = {
        name
        for cell in re.findall(r"^\| ((?:`\w+` ?)+)\|", table, re.M)
        for name in re.findall(r"`(\w+)`", cell)
    }
    assert told == set(Audited("x", "y", 1).document())
