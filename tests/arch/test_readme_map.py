"""The map in gateway/README.md names every module, each in its room's table, and none that is not there."""

from __future__ import annotations

import re

from paths import ROOT

from tests.arch.floors import FLOORS

MAP = ROOT / "gateway" / "README.md"
HEADING = re.compile(r"^### (gateway[\w/]*)$", re.M)
ROW = re.compile(r"^\| `(\w+)` \| (.*) \|$", re.M)
WALK = re.compile(r"`((?:app|core|net|rights|store)/\w+\.py)`")


def rooms(text: str) -> dict[str, dict[str, str]]:
    """Package -> module -> its line, as the map has them."""
    parts = HEADING.split(text.partition("\n## Words\n")[0])
    return {
        package: dict(ROW.findall(table)) for package, table in zip(parts[1::2], parts[2::2], strict=True)
    }


def packages() -> dict[str, set[str]]:
    """Package -> its modules, as they lie there."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "gateway").rglob("*.py"):
        if path.stem not in ("__init__", "__main__"):
            found.setdefault(path.parent.relative_to(ROOT).as_posix(), set()).add(path.stem)
    return found


def test_every_module_is_named_in_its_room() -> None:
    told, there = rooms(MAP.read_text(encoding="utf-8")), packages()
    missing = sorted(f"{name}/{one}" for name in there for one in there[name] - told.get(name, {}).keys())
    gone = sorted(f"{name}/{one}" for name in told for one in told[name].keys() - there.get(name, set()))
    assert not missing, f"add to the map in gateway/README.md: {missing}"
    assert not gone, f"the map in gateway/README.md names what is not there: {gone}"


def test_every_line_says_something() -> None:
    empty = [
        name
        for table in rooms(MAP.read_text(encoding="utf-8")).values()
        for name in table
        if not table[name].strip()
    ]
    assert empty == []


def test_the_floors_are_those_of_the_table() -> None:
    text = MAP.read_text(encoding="utf-8")
    for floor, names in re.findall(r"^\| ([0-4]) \| ((?:`\w+` ?)+) \|", text, re.M):
        for name in re.findall(r"`(\w+)`", names):
            assert FLOORS[name] == int(floor), name
    shown = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| [0-4] \| (.*?) \|", text, re.M))))
    here = {
        name
        for name in FLOORS
        if (ROOT / "gateway" / name).is_dir() or (ROOT / "gateway" / f"{name}.py").is_file()
    }
    assert shown == here


def test_the_walk_names_files_that_are_there() -> None:
    walked = WALK.findall(MAP.read_text(encoding="utf-8"))
    assert len(walked) >= 12
    assert [name for name in walked if not (ROOT / "gateway" / name).is_file()] == []


def test_links_between_documents_lead_somewhere() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), MAP, *(ROOT / "plugins").glob("*.md")]
    dead = []
    for document in documents:
        for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
            file, _, anchor = link.partition("#")
            target = document.parent / file if file else document
            if "://" in link:
                continue
            if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
                dead.append(f"{document.name}: {link}")
    assert dead == []


def anchors(text: str) -> set[str]:
    """What headings are called in links."""
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
