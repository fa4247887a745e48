"""The Unity package as Unity would take it: it compiles against the types it uses, and nothing is missing."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from engines.engines import csharp
from paths import ROOT

PACKAGE = ROOT / "plugins" / "unity" / "com.vestibule.telemetry"
CORE, UNITY, EDITOR = PACKAGE / "Runtime" / "Core", PACKAGE / "Runtime" / "Unity", PACKAGE / "Editor"
HERE = Path(__file__).parent / "csharp"
RUNTIMES = ("coreclr", "mono")
PACKAGES = "-define:VESTIBULE_XR_HANDS;VESTIBULE_OPENXR"
DEFINES = {
    "plain": [],
    "packages": [PACKAGES],
    "editor": ["-define:UNITY_EDITOR;UNITY_ANDROID;VESTIBULE_XR_HANDS"],
    "android": ["-define:UNITY_ANDROID;UNITY_2022_2_OR_NEWER;VESTIBULE_XR_HANDS;VESTIBULE_OPENXR"],
}


def sources(folder: Path) -> dict[Path, str]:
    found = {path.relative_to(PACKAGE): path.read_text(encoding="utf-8") for path in folder.rglob("*.cs")}
    assert found, f"no sources in {folder}"
    return found


def asmdef(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    assert found["name"] == path.stem
    return found


@pytest.fixture(scope="module")
def unity_meta() -> ModuleType:
    spec = importlib.util.spec_from_file_location("unity_meta", ROOT / "scripts" / "unity_meta.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- What Unity's package manager reads --------------------------------------------------------------------------


def test_every_asset_has_its_meta_file_and_none_is_left_over(unity_meta: ModuleType) -> None:
    assert unity_meta.faults(PACKAGE) == [], "Run: .venv/bin/python scripts/unity_meta.py"
    guids = [unity_meta.guid_of(PACKAGE, asset) for asset in unity_meta.assets(PACKAGE)]
    assert len(set(guids)) == len(guids)


def test_a_missing_and_an_orphaned_meta_file_are_found_and_mended(
    unity_meta: ModuleType, tmp_path: Path
) -> None:
    copy = tmp_path / PACKAGE.name
    shutil.copytree(PACKAGE, copy)
    (copy / "package.json.meta").unlink()
    (copy / "Editor" / "Gone.cs.meta").write_text("")
    (copy / "Editor.meta").write_text("guid: 0\n")
    assert unity_meta.faults(copy) == [
        "missing: package.json.meta",
        "belongs to nothing: Editor/Gone.cs.meta",
        "not what it should be: Editor.meta",
    ]
    unity_meta.write(copy)
    assert unity_meta.faults(copy) == []


def test_manifest_of_the_package() -> None:
    manifest = json.loads((PACKAGE / "package.json").read_text())
    version = manifest["version"]
    assert manifest["name"] == PACKAGE.name
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert manifest["unity"] == "2021.3"
    assert manifest["license"] == "Apache-2.0"
    assert all(name.startswith("com.unity.modules.") for name in manifest["dependencies"]), "no other package"
    assert f"## [{version}]" in (PACKAGE / "CHANGELOG.md").read_text()
    assert f'"{PACKAGE.name} {version}"' in (UNITY / "About.cs").read_text(), "what info samples say"
    samples = {sample["path"] for sample in manifest["samples"]}
    assert samples == {f"Samples~/{path.name}" for path in (PACKAGE / "Samples~").iterdir()}
    assert all((PACKAGE / path / "README.md").is_file() for path in samples)
    for name in ("README.md", "LICENSE.md", "Documentation~/index.md"):
        assert (PACKAGE / name).is_file(), name


def test_assemblies() -> None:
    core, unity = asmdef(CORE / "Vestibule.Core.asmdef"), asmdef(UNITY / "Vestibule.Unity.asmdef")
    editor = asmdef(EDITOR / "Vestibule.Editor.asmdef")
    assert core["noEngineReferences"]
    assert not core["references"]
    # A reference to a package that is not installed is passed over by Unity; its define is then not set either.
    assert unity["references"] == ["Vestibule.Core", "Unity.XR.OpenXR", "Unity.XR.Hands"]
    assert editor["includePlatforms"] == ["Editor"]
    assert editor["references"] == ["Vestibule.Core", "Vestibule.Unity"]
    for one in (core, unity, editor):
        for member in ("allowUnsafeCode", "defineConstraints", "precompiledReferences"):
            assert not one[member], (one["name"], member)
    # Scripts of an app see these two without more ado.
    assert core["autoReferenced"]
    assert unity["autoReferenced"]
    declared = {define["define"] for define in unity["versionDefines"]}
    used = {word for text in sources(UNITY).values() for word in re.findall(r"VESTIBULE_\w+", text)}
    assert used == declared


# ---- What may stand in it ----------------------------------------------------------------------------------------

FORBIDDEN = {
    r"\bunsafe\b|\bfixed\s*\(": "no unsafe code",
    r"DllImport|\bextern\b": "no native library",
    r"System\.Reflection|\bdynamic\b|Activator\.|\.GetMethod\(|SendMessage\(": "IL2CPP strips what it cannot see",
    r"System\.Linq": "LINQ allocates",
    r"AesGcm|ECDiffieHellman|ECDsa": "compiles, and throws on Mono",
    r"serialNumber|deviceUniqueIdentifier": "identifies a headset, and with it a person",
    r"Time\.time\b|DateTime\.(Utc)?Now": "samples have one monotonic clock",
    r"PlayerPrefs": "not a place for a key",
    r"TODO|FIXME|NotImplementedException": "unfinished",
}


@pytest.mark.parametrize("folder", [CORE, UNITY, EDITOR], ids=lambda path: path.name)
def test_nothing_forbidden(folder: Path) -> None:
    for path, text in sources(folder).items():
        code = re.sub(r"//.*", "", text)
        for pattern, why in FORBIDDEN.items():
            assert not re.search(pattern, code), f"{path}: {pattern}: {why}"


def test_the_engine_stays_outside_of_what_runs_here() -> None:
    for path, text in {**sources(CORE), **sources(UNITY / "Pure")}.items():
        assert "UnityEngine" not in re.sub(r"//.*", "", text), path


def test_files_are_of_a_size_that_is_read() -> None:
    lengths = sorted(text.count("\n") for text in sources(UNITY).values())
    assert lengths[-1] <= 400
    assert lengths[len(lengths) // 2] <= 150


def test_documents_say_what_was_not_run_and_name_what_is_there() -> None:
    readme = (PACKAGE / "README.md").read_text()
    assert "was not run inside Unity" in readme
    assert "**not yet**" in readme
    guide = (ROOT / "docs" / "unity.md").read_text()
    assert "compiled and run outside Unity only" in guide
    api = "".join(text for path, text in sources(UNITY).items() if path.name.startswith("Vestibule"))
    for call in ("Gaze", "Face", "BodyJoint", "Prop", "Marker", "PlayHaptic", "Pcm", "Permits", "Describe"):
        assert f"{call}(" in guide or f"`{call}`" in guide, call
        assert re.search(rf"public \w+ {call}\(", api), call
    constants = {
        name: int(number)
        for name, number in re.findall(
            r"const \w+ (\w+) = (\d+);", (UNITY / "Pure" / "Streams.cs").read_text()
        )
    }
    streams = (
        "Head",
        "Left",
        "Right",
        "Gaze",
        "LeftHand",
        "RightHand",
        "Face",
        "Haptic",
        "Buttons",
        "Markers",
    )
    assert [constants[name] for name in (*streams, "Info", "Body", "FirstOwn")] == list(range(13))


# ---- It compiles, and its decisions hold -------------------------------------------------------------------------


def core() -> Path:
    return csharp().compile("library", "Vestibule.Core.dll", [CORE])


def adapter(options: list[str]) -> list[Path]:
    stubs = csharp().compile("library", "UnityStubs.dll", [HERE / "stubs"])
    refs = [core(), stubs]
    return [csharp().compile("library", "Vestibule.Unity.dll", [UNITY], refs, options), *refs]


@pytest.mark.parametrize("defines", list(DEFINES))
def test_adapter_editor_and_sample_compile(defines: str) -> None:
    refs = adapter(DEFINES[defines])
    csharp().compile("library", "Vestibule.Editor.dll", [EDITOR], refs, DEFINES[defines])
    csharp().compile("library", "Assembly-CSharp.dll", [PACKAGE / "Samples~"], refs, DEFINES[defines])


def checks() -> Path:
    inside = [HERE / "checks", HERE / "stubs", UNITY, EDITOR]
    return csharp().compile("exe", "checks.exe", inside, [core()], [PACKAGES])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_decisions(runtime: str) -> None:
    names = re.findall(r'\["(\w+)"\] = \w+Checks\.', (HERE / "checks" / "Checks.cs").read_text())
    assert len(names) >= 20
    said = csharp().run(runtime, checks(), timeout_s=120)
    assert said.split() == [word for name in names for word in ("ok", name)]
