"""One word for each thing (gateway/README.md, "Words"), and nothing in the repository that belongs elsewhere."""

from __future__ import annotations

import ast
import re
import subprocess

import pytest
from paths import ROOT

# Words that mean something else here, as parts of the names of classes, functions and arguments. `word`: what to say.
NEVER = {
    "ack": "receipt (MQTT alone acks)",
    "acks": "receipt (MQTT alone acks)",
    "acked": "stored, or receipted",
    "chain": "log, or entry",
    "blockchain": "log",
    "msg": "packet, or text",
    "msgs": "packet, or text",
    "datum": "sample",
    "datums": "sample",
    "epochs": "link, or session (an epoch is the master key's)",
    "channel": "stream",
    "logger": "log is the transparency log; app/observe writes what happens",
}
# Where a word is somebody else's: the module, and which words it may use.
BORROWED = {
    "gateway/net/mqtt.py": {"ack", "acks", "acked"},
    "gateway/app/observe.py": {"logger"},
    # sound and vibration have channels of their own
    "gateway/sources": {"channel"},
    "gateway/wire/kinds.py": {"channel"},
}

# Home folders and temporary folders of a person or a machine. Written in pieces, so that this file is not a find.
MACHINE_PATHS = re.compile(
    "(?:" + "|".join(["/ho" + "me/[a-z]", "/ro" + "ot/", "/Us" + "ers/[A-Za-z]"]) + ")"
)
# A path that is the subject, not a leftover: the unit's hardening, a container's file.
PATHS_ALLOWED = {"systemd/vestibule.service"}


def words(name: str) -> set[str]:
    """The words of an identifier: receiveAck, receive_ack and ReceiveAck all hold `ack`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return {word for word in spaced.lower().split("_") if word}


def names_defined(tree: ast.Module) -> list[tuple[int, str]]:
    """(line, name) of the classes, functions and arguments that a module defines."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.append((node.lineno, node.name))
        elif isinstance(node, ast.arg):
            found.append((node.lineno, node.arg))
    return found


def word_faults(source: str, module: str) -> list[str]:
    allowed = {word for where, said in BORROWED.items() if module.startswith(where) for word in said}
    return [
        f"{module}:{line}: `{name}` says {word}; say {NEVER[word]}"
        for line, name in names_defined(ast.parse(source))
        for word in sorted(words(name) & (NEVER.keys() - allowed))
    ]


def tracked() -> list[str]:
    """The files of the repository: those that git knows or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [name for name in done.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def test_names_use_the_words_of_the_glossary() -> None:
    faults = []
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        faults += word_faults(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
    assert not faults, "\n".join(faults)


def test_no_path_of_one_machine_stands_in_the_repository() -> None:
    faults = []
    for name in tracked():
        data = (ROOT / name).read_bytes()
        if name in PATHS_ALLOWED or b"\0" in data[:8192]:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            if found := MACHINE_PATHS.search(line):
                faults.append(f"{name}:{number}: {found[0]}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("name", ["send_ack", "AckSender", "HashChain", "parse_msg", "lastACK"])
def test_a_wrong_word_is_seen(name: str) -> None:
    assert word_faults(f"class {name}: ...", "gateway/core/x.py")
    assert word_faults(f"def f({name}): ...", "gateway/core/x.py")


@pytest.mark.parametrize("name", ["backlog", "packet", "acknowledged", "Tracker", "msgspec_hook"])
def test_a_good_word_passes(name: str) -> None:
    assert word_faults(f"def {name}(): ...", "gateway/core/x.py") == []


# ---- what is cited --------------------------------------------------------------------------------------------------

# Papers that do not lie in the repository, and threads of somebody's tracker: a reader could not open them. Written in
# pieces, so that this file is not a find.
ELSEWHERE = re.compile(
    "|".join(
        [
            r"\b(?:DESI" + r"GN|STO" + r"RE|VT" + r"1|CONT" + r"ROL|SOUR" + r"CES|tl" + r"og)\.md\b",
            r"\brefer" + r"ence/",
            r"(?:^|[\s(\[]|\b[\w.-]+/[\w.-]+)#\d+(?![\w-])",
        ]
    )
)
# Versions and hashes of other people's packages.
CITATIONS_ALLOWED = {"constraints.txt"}
CITED = re.compile(
    r'(?:(VT1)|`?(plugins/SPEC\.md|docs/[\w-]+\.md|gateway/README\.md)`?), ("[^"\n]+"(?:, "[^"\n]+")*)'
)
ADR = re.compile(r"docs/adr/(\d{4})")


def sections(name: str) -> set[str]:
    """The headings of a document, without numbers and what stands behind a colon or a comma."""
    titles = re.findall(r"^#+ (.+)$", (ROOT / name).read_text(encoding="utf-8"), re.M)
    return {re.sub(r"^[\d.]+ ", "", re.split(r"[:,]", title)[0]) for title in titles}


def texts() -> list[tuple[str, str]]:
    """(name, text) of the files of the repository that are text."""
    found = []
    for name in tracked():
        data = (ROOT / name).read_bytes()
        if b"\0" not in data[:8192]:
            found.append((name, data.decode("utf-8", "replace")))
    return found


def test_nothing_is_cited_that_is_not_in_the_repository() -> None:
    faults = []
    for name, text in texts():
        if name in CITATIONS_ALLOWED:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if found := ELSEWHERE.search(line):
                faults.append(f"{name}:{number}: {found[0]}")
    assert not faults, "\n".join(faults)


def test_sections_and_records_that_are_cited_are_there() -> None:
    faults, cited = [], 0
    for name, text in texts():
        if not name.endswith(".py"):
            continue
        for protocol, document, titles in CITED.findall(text):
            there = sections("plugins/SPEC.md" if protocol else document)
            for title in re.findall(r'"([^"]+)"', titles):
                cited += 1
                if title not in there:
                    faults.append(f"{name}: {protocol or document} has no section {title!r}")
        for number in ADR.findall(text):
            cited += 1
            if not list((ROOT / "docs" / "adr").glob(f"{number}-*.md")):
                faults.append(f"{name}: there is no docs/adr/{number}")
    assert cited > 40
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "text", ["see DES" + "IGN.md", "refer" + "ence/ops", "fixed in #" + "12", "a/b#" + "3"]
)
def test_a_citation_from_elsewhere_is_seen(text: str) -> None:
    assert ELSEWHERE.search(text)


@pytest.mark.parametrize("text", ["[1](#1-words)", 'fill="#1234"', "# 12", "a reference of it", "store.md"])
def test_what_only_looks_like_one_passes(text: str) -> None:
    assert not ELSEWHERE.search(text)
