"""Where the engines are, and what is built for them: Godot 4, the C# compiler, and its two runtimes.

`scripts/engines.sh` installs them. A test that needs one fails where it is missing: skipped, it would hide that nothing
was proven. What is compiled or imported is kept under the hash of all that went into it, so that the workers of one
run, and the next run, share it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

STAMP = ".vestibule-installed"
COMPILE_S = 120
KEEP_S = 24 * 3600  # a build that nobody used for so long is removed


def _home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vestibule"


def _installed(engine: str, *files: str) -> list[Path]:
    prefix = _home() / "engines" / engine
    paths = [prefix / file for file in files]
    missing = [path for path in [*paths, prefix / STAMP] if not path.exists()]
    assert not missing, f"{engine} is not installed: {missing[0]} is not there. Run: make engines"
    return paths


@cache
def godot() -> Path:
    """The runnable Godot 4; give it `--headless`."""
    return _installed("godot4", "godot4")[0]


@dataclass(frozen=True)
class CSharp:
    """The C# compiler as Unity 2021 has it (C# 8, .NET Standard 2.1), and the runtimes for what it makes.

    Args:
        compiler: wrapper of the compiler, which names the reference assemblies already.
        coreclr, mono: wrappers; give them an `.exe`.
    """

    compiler: Path
    coreclr: Path
    mono: Path

    def csc(self, args: Sequence[str | Path]) -> str:
        """Compile; returns what the compiler said, which is empty when it found nothing to say.

        Raises:
            AssertionError: it found errors; they stand in the message.
        """
        done = subprocess.run(
            [self.compiler, *args],
            capture_output=True,
            text=True,
            timeout=COMPILE_S,
            stdin=subprocess.DEVNULL,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"csc {' '.join(map(str, args))[:400]}\n{said[-6000:]}"
        return said

    def compile(
        self,
        target: str,
        out: str,
        sources: Sequence[Path],
        refs: Sequence[Path] = (),
        options: Sequence[str] = (),
    ) -> Path:
        """Compile once for each state of the sources.

        Args:
            target: `library` or `exe`.
            out: file name of the assembly, as `Vestibule.Core.dll`.
            sources: files, or folders whose `*.cs` are all meant.
            refs: assemblies that it uses; they are laid beside it, where the runtimes look.
            options: further arguments of the compiler. Warnings are errors unless they say otherwise.

        Returns:
            The assembly.
        """
        files = sorted({file for source in sources for file in _files(source, ".cs")})
        assert files, f"no *.cs in {', '.join(map(str, sources))}"
        flags = [
            f"-target:{target}",
            "-optimize+",
            "-debug:portable",
            "-deterministic",
            "-warnaserror+",
            *options,
        ]

        def make(room: Path) -> None:
            for ref in refs:
                shutil.copy2(ref, room / ref.name)
                if (symbols := ref.with_suffix(".pdb")).exists():
                    shutil.copy2(symbols, room / symbols.name)
            self.csc([*flags, f"-out:{room / out}", *(f"-r:{ref}" for ref in refs), *files])

        return (
            built(
                f"csharp-{Path(out).stem}",
                [*files, *refs],
                make,
                self.compiler.with_name(STAMP).read_text(),
                *flags,
            )
            / out
        )

    def run(self, runtime: str, program: Path, *args: str | Path, timeout_s: float = 60) -> str:
        """Run a program to its end and return its output.

        Args:
            runtime: `coreclr` or `mono`.
            program: the `.exe`.
            args: of the program.
            timeout_s: longest wait.
        """
        wrapper = {"coreclr": self.coreclr, "mono": self.mono}[runtime]
        done = subprocess.run(
            [wrapper, program, *args],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{runtime} {program.name} ended with {done.returncode}:\n{_both(done)}"
        return done.stdout


@cache
def csharp() -> CSharp:
    """The C# compiler and both runtimes."""
    assert shutil.which("mono"), "Mono is not installed: `mono` is not in the PATH. Run: make engines"
    return CSharp(*_installed("csharp", "csc", "coreclr", "mono-ns21"))


def godot_project(name: str, trees: dict[str, Path]) -> Path:
    """A Godot project, copied together and imported once for each state of its files.

    Args:
        name: of the build.
        trees: folder inside the project (`.` for its root) -> what is copied there.

    Returns:
        The project's folder; nobody may write into it.
    """

    def make(room: Path) -> None:
        for inside, tree in trees.items():
            shutil.copytree(tree, room / inside, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".godot"))
        assert (room / "project.godot").exists(), f"no project.godot in {', '.join(map(str, trees.values()))}"
        # Its settings go where nobody else's are: an import must not depend on them, nor change them.
        with tempfile.TemporaryDirectory() as home:
            environment = {
                "HOME": home,
                "XDG_DATA_HOME": home,
                "XDG_CONFIG_HOME": home,
                "XDG_CACHE_HOME": home,
            }
            said = godot_run(room, "--import", timeout_s=COMPILE_S, environment=environment)
        assert not (bad := errors_of_godot(said)), f"the import of {name} told of errors:\n{bad}"

    files = [file for tree in trees.values() for file in _files(tree, "")]
    return built(name, files, make, godot().with_name(STAMP).read_text(), *map(str, trees))


def godot_run(
    project: Path, *args: str, timeout_s: float = 60, environment: dict[str, str] | None = None
) -> str:
    """Run Godot on a project to its end; returns all that it printed.

    Raises:
        AssertionError: it did not end with 0.
    """
    done = subprocess.run(
        [godot(), "--headless", "--path", project, *args],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )
    assert done.returncode == 0, f"godot {' '.join(args)} ended with {done.returncode}:\n{_both(done)}"
    return done.stdout + done.stderr


def errors_of_godot(output: str) -> str:
    """The lines of Godot's output that tell of an error in a script or the engine, each with the two after it."""
    lines = output.splitlines()
    found = [
        "\n".join(lines[number : number + 3])
        for number, line in enumerate(lines)
        if "SCRIPT ERROR" in line or line.lstrip().startswith(("ERROR:", "USER ERROR:", "Parse Error"))
    ]
    return "\n".join(found[:20])


def built(name: str, inputs: Sequence[Path], make: Callable[[Path], None], *others: str) -> Path:
    """A folder made from some files, once for each state of them, whoever asks first.

    Args:
        name: of the build.
        inputs: every file that goes into it.
        make: fills an empty folder; called under a lock.
        others: what else decides the outcome.
    """
    builds = _home() / "builds"
    builds.mkdir(parents=True, exist_ok=True)
    mix = hashlib.sha256("\0".join(others).encode())
    for file in sorted(set(inputs)):
        mix.update(b"\0" + str(file).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    folder = builds / f"{name}-{mix.hexdigest()[:20]}"
    with _locked(builds / f".{name}.lock"):
        if not folder.exists():
            _prune(builds, name)
            # A run that was killed in the midst of it leaves a half, which the next one makes anew.
            half = folder.with_name(f".{folder.name}.half")
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir()
            make(half)
            half.rename(folder)
        os.utime(folder)
    return folder


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _prune(builds: Path, name: str) -> None:
    for old in builds.glob(f"{name}-*"):
        if time.time() - old.stat().st_mtime > KEEP_S:
            shutil.rmtree(old, ignore_errors=True)


def _files(source: Path, suffix: str) -> list[Path]:
    if source.is_file():
        return [source]
    return sorted(
        path for path in source.rglob(f"*{suffix}") if path.is_file() and ".godot" not in path.parts
    )


def _both(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stdout + done.stderr)[-6000:]
