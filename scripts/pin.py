"""Write constraints.txt: the installed version of every package, with the hash of every file of that version.

Run it in the virtual environment whose versions are to be pinned: `.venv/bin/python scripts/pin.py > constraints.txt`.
The closure is that of the project's dependencies (its `speed` and `dev` extras included) and of the build backend.
pip's own session reads the file lists of the index that pip is set up with, so credentials, proxies and mirrors work as
they do for `pip install`. Names and hashes are written, never an address. The listing needs pip's internals, which pip
does not promise to keep: written and run with pip 23.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
)
from packaging.utils import parse_wheel_filename as parse_wheel
from pip._internal.commands import create_command
from pip._internal.index.collector import parse_links

# Named apart, because it is a build tool that nothing imports and that a virtual environment may lack.
BUILD = {"setuptools": "80.9.0"}
# Vestibule needs Unix sockets, so files for other systems would only make the list longer.
FOREIGN = ("win32", "win_", "android", "ios_", "pyodide", "wasm")
OLD_PYTHON = re.compile(r"^(cp(2\d|3[0-9]|310)|pp(2\d|3\d|310).*|py2|jy\d+|graalpy.*)$")
# What exists only for some systems or versions; the marker keeps the list usable on the others.
MARKERS = {"uvloop": 'platform_python_implementation == "CPython" and python_version < "3.15"'}

HEADER = """\
# Every package that Vestibule runs, is built and is tested with: version and hashes (direct and transitive).
# Written by scripts/pin.py; install with `pip install --require-hashes -r constraints.txt`.
# The hashes are those of all files of a version for Linux and macOS and CPython 3.11 and newer, source archives
# included, so the list serves other processors too. An installation with another file than these is refused.
"""


def closure(roots: list[str]) -> dict[str, str]:
    """Return name -> installed version of `roots` and of all that they need on this interpreter."""
    found: dict[str, str] = {}
    queue = [Requirement(text) for text in roots]
    while queue:
        req = queue.pop()
        name = canonicalize_name(req.name)
        extras = req.extras or {""}
        if name in found and not req.extras:
            continue
        dist = distribution(name)
        found[name] = dist.version
        for text in dist.requires or []:
            need = Requirement(text)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras):
                queue.append(need)
    return found


def wanted(filename: str, name: str, version: str) -> bool:
    """Tell whether an index's file belongs to this version and to a system and Python that Vestibule runs on."""
    try:
        if not filename.endswith(".whl"):
            found_name, found_version = parse_sdist_filename(filename)
            return found_name == name and str(found_version) == version
        wheel_name, wheel_version, _build, tags = parse_wheel(filename)
    except (InvalidSdistFilename, InvalidWheelFilename):
        return False
    if wheel_name != name or str(wheel_version) != version:
        return False
    # An abi3 wheel of an old interpreter serves every newer one.
    return any(
        not tag.platform.startswith(FOREIGN) and (tag.abi == "abi3" or not OLD_PYTHON.match(tag.interpreter))
        for tag in tags
    )


def main() -> int:
    """Print the list; return the exit code."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    roots = [*project["dependencies"]]
    for extra in ("speed", "dev"):
        roots += project["optional-dependencies"][extra]
    pins = {**closure(roots), **BUILD}

    command = create_command("download")
    options, _ = command.parse_args(["none"])
    with command.main_context():
        finder = command._build_package_finder(options=options, session=command.get_default_session(options))
        collector = finder._link_collector
        lines = [HEADER]
        for name, version in sorted(pins.items()):
            hashes: set[str] = set()
            for source in collector.collect_sources(name, candidates_from_page=lambda _link: []).index_urls:
                link = getattr(source, "_link", None)
                # An index in a local directory may hold rebuilt files: only a served one is taken as the origin.
                page = collector.fetch_response(link) if link is not None and link.scheme != "file" else None
                for found in parse_links(page) if page is not None else ():
                    if found.hash_name == "sha256" and wanted(found.filename, name, version):
                        hashes.add(str(found.hash))
            if not hashes:
                print(f"{name} {version}: the index lists no file of it", file=sys.stderr)
                return 1
            marker = f" ; {MARKERS[name]}" if name in MARKERS else ""
            lines.append(
                " \\\n".join(
                    [f"{name}=={version}{marker}", *(f"    --hash=sha256:{h}" for h in sorted(hashes))]
                )
            )
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
