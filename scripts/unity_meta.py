"""Write the `.meta` files of the Unity package: one for each file and folder that Unity imports.

A package that comes from a git URL is read-only for Unity, so it cannot make them itself; and everything that a project
refers to is named by the guid in them. A guid here is made from the asset's path in the package: the same everywhere,
and it changes only when the asset moves.

    scripts/unity_meta.py           writes what is missing, removes what belongs to nothing
    scripts/unity_meta.py --check   changes nothing; ends with 1 and names what is wrong
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "plugins" / "unity" / "com.vestibule.telemetry"
IMPORTERS = {
    ".asmdef": "AssemblyDefinitionImporter",
    ".cs": "MonoImporter",
    ".md": "TextScriptImporter",
    ".json": "TextScriptImporter",
}
TAIL = "  externalObjects: {}\n  userData: \n  assetBundleName: \n  assetBundleVariant: \n"
SCRIPT = (
    "MonoImporter:\n  externalObjects: {}\n  serializedVersion: 2\n  defaultReferences: []\n  executionOrder: 0\n"
    "  icon: {instanceID: 0}\n  userData: \n  assetBundleName: \n  assetBundleVariant: \n"
)


def assets(package: Path) -> list[Path]:
    """Every file and folder that Unity imports: all but hidden ones and those that end in `~`."""
    found = []
    for path in sorted(package.rglob("*")):
        parts = path.relative_to(package).parts
        if any(part.startswith(".") or part.endswith("~") for part in parts) or path.suffix == ".meta":
            continue
        found.append(path)
    return found


def meta_of(asset: Path) -> Path:
    """The meta file that belongs to an asset."""
    return asset.with_name(asset.name + ".meta")


def guid_of(package: Path, asset: Path) -> str:
    """The guid of an asset: 32 hex digits."""
    name = f"{package.name}/{asset.relative_to(package).as_posix()}"
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def text_of(package: Path, asset: Path) -> str:
    """What stands in the meta file of an asset."""
    head = f"fileFormatVersion: 2\nguid: {guid_of(package, asset)}\n"
    if asset.is_dir():
        return f"{head}folderAsset: yes\nDefaultImporter:\n{TAIL}"
    if asset.suffix == ".cs":
        return head + SCRIPT
    importer = "PackageManifestImporter" if asset == package / "package.json" else IMPORTERS.get(asset.suffix)
    return f"{head}{importer or 'DefaultImporter'}:\n{TAIL}"


def faults(package: Path) -> list[str]:
    """What is wrong with the meta files, one line each; empty when nothing is."""
    wanted = {meta_of(asset): text_of(package, asset) for asset in assets(package)}
    there = set(package.rglob("*.meta"))
    lines = [f"missing: {path.relative_to(package)}" for path in sorted(wanted.keys() - there)]
    lines += [f"belongs to nothing: {path.relative_to(package)}" for path in sorted(there - wanted.keys())]
    lines += [
        f"not what it should be: {path.relative_to(package)}"
        for path in sorted(wanted.keys() & there)
        if path.read_text() != wanted[path]
    ]
    return lines


def write(package: Path) -> None:
    """Make the meta files right."""
    wanted = {meta_of(asset): text_of(package, asset) for asset in assets(package)}
    for path in set(package.rglob("*.meta")) - wanted.keys():
        path.unlink()
    for path, text in wanted.items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def main() -> int:
    """Run the script."""
    if sys.argv[1:] == ["--check"]:
        lines = faults(PACKAGE)
        print(
            "\n".join(
                [*lines, "Mend it with: .venv/bin/python scripts/unity_meta.py"] if lines else ["all right"]
            )
        )
        return 1 if lines else 0
    write(PACKAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
