"""The house keeps to its table (`floors.py`): imports go down, floors 0-2 are pure, modules are small and explained."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median

import pytest
from paths import ROOT

from tests.arch import floors

GATEWAY = ROOT / "gateway"
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in GATEWAY.rglob("*.py"))


@cache
def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"), filename=module)


def room_of(module: str) -> str:
    """The room that a path like gateway/core/intake.py stands in; "" for gateway/__init__.py."""
    parts = Path(module).with_suffix("").parts[1:]
    # `python -m gateway` is the command line's door.
    return {"__init__": "", "__main__": "app"}.get(parts[0], parts[0])


def imported(node: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    """Full dotted names that one import statement in `package` brings in."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = package[: len(package) - node.level + 1] if node.level else ()
        stem = ".".join([*base, *([node.module] if node.module else [])])
        yield from (f"{stem}.{alias.name}" for alias in node.names)


def imports(module_tree: ast.Module, module: str) -> Iterator[tuple[int, str]]:
    """(line, full dotted name) of everything that a module imports, also inside functions."""
    package = Path(module).parent.parts
    for node in ast.walk(module_tree):
        for name in imported(node, package):
            yield getattr(node, "lineno", 0), name


def floor_faults(module_tree: ast.Module, module: str) -> list[str]:
    """Imports of this house that the table does not allow."""
    room, faults = room_of(module), []
    for line, name in imports(module_tree, module):
        first, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if first != "gateway" or other not in floors.FLOORS or other == room:
            if first == "gateway" and other not in {room, "__version__", "", *floors.FLOORS}:
                faults.append(f"{module}:{line}: imports gateway.{other}, which is no room of the table")
            continue
        mine, theirs = floors.FLOORS[room], floors.FLOORS[other]
        if theirs > mine or (theirs == mine and (room, other) not in floors.SAME_FLOOR):
            faults.append(f"{module}:{line}: {room} (floor {mine}) imports {other} (floor {theirs})")
        elif room in floors.NARROW and other not in floors.NARROW[room]:
            faults.append(f"{module}:{line}: {room} must know nothing of {other}")
    return faults


def last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def purity_faults(module_tree: ast.Module, module: str) -> list[str]:
    """What a module of floors 0-2 must not do."""
    faults = []
    for line, name in imports(module_tree, module):
        top = name.partition(".")[0]
        if top in floors.IMPURE_MODULES:
            faults.append(f"{module}:{line}: imports {top}; {floors.IMPURE_MODULES[top]}")
        if name.startswith("numpy.random.") and name.split(".")[2] not in floors.NUMPY_RANDOM_ALLOWED:
            faults.append(f"{module}:{line}: imports {name}; take a generator as an argument")
    for node in ast.walk(module_tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncWith | ast.AsyncFor | ast.Await):
            faults.append(f"{module}:{line}: async; be a machine: step(event, now) -> effects")
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            why = floors.IMPURE_BUILTINS.get(called)
            for name, reason in floors.IMPURE_CALLS.items():
                # `SigningKey.generate` ends with `Key.generate`, `datetime.datetime.now` with `datetime.now`.
                if called == name or called.endswith(name if "Key." in name else f".{name}"):
                    why = reason
            if why:
                faults.append(f"{module}:{line}: calls {called}(); {why}")
            if last_name(node.func) == "default_rng" and not node.args and not node.keywords:
                faults.append(
                    f"{module}:{line}: default_rng() without a seed; take a generator as an argument"
                )
        elif (
            isinstance(node, ast.Attribute)
            and ast.unparse(node.value) in {"np.random", "numpy.random"}
            and node.attr not in floors.NUMPY_RANDOM_ALLOWED
        ):
            faults.append(f"{module}:{line}: numpy.random.{node.attr}; take a generator as an argument")
    return faults


def names_said(module_tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, name) of every identifier: read, called, defined or imported."""
    for node in ast.walk(module_tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Name):
            yield line, node.id
        elif isinstance(node, ast.Attribute):
            yield line, node.attr
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield line, node.name
        elif isinstance(node, ast.alias):
            yield line, node.name.rpartition(".")[2]


def decryption_faults(module_tree: ast.Module, module: str) -> list[str]:
    """Decryption outside the modules that the table names."""
    faults = [
        f"{module}:{line}: {name} may only be used in {sorted(floors.DECRYPTION[name])}"
        for line, name in names_said(module_tree)
        if module not in floors.DECRYPTION.get(name, {module})
    ]
    if room_of(module) != floors.CIPHER_ROOM:
        faults += [
            f"{module}:{line}: imports {name}; ciphers belong to gateway/{floors.CIPHER_ROOM}"
            for line, name in imports(module_tree, module)
            if name.startswith(floors.CIPHER_MODULES)
        ]
    return faults


def doc_faults(module_tree: ast.Module, module: str) -> list[str]:
    """A module, or a public class or function of it, that does not say what it is."""
    faults = [] if ast.get_docstring(module_tree) else [f"{module}:1: the module has no docstring"]
    for node in module_tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            overload = any(last_name(mark) == "overload" for mark in node.decorator_list)
            if not node.name.startswith("_") and not overload and not ast.get_docstring(node):
                faults.append(f"{module}:{node.lineno}: {node.name} has no docstring")
    return faults


def lines_of(module: str) -> int:
    return len((ROOT / module).read_text(encoding="utf-8").splitlines())


def test_every_room_is_in_the_table() -> None:
    rooms = {room_of(module) for module in MODULES} - {""}
    assert rooms <= floors.FLOORS.keys(), "add a row to tests/arch/floors.py"
    app = {Path(m).parts[2].removesuffix(".py") for m in MODULES if m.startswith("gateway/app/")} - {
        "__init__"
    }
    assert app <= floors.APP.keys(), "add a row to APP in tests/arch/floors.py"


def test_imports_go_down() -> None:
    faults = [fault for module in MODULES if room_of(module) for fault in floor_faults(tree(module), module)]
    assert not faults, "\n".join(faults)


def test_lower_floors_are_pure() -> None:
    pure = [m for m in MODULES if floors.FLOORS.get(room_of(m), 0) <= floors.PURE_UP_TO]
    faults = [fault for module in pure for fault in purity_faults(tree(module), module)]
    assert not faults, "\n".join(faults)


def test_decryption_only_where_the_table_says() -> None:
    faults = [fault for module in MODULES for fault in decryption_faults(tree(module), module)]
    assert not faults, "\n".join(faults)


def test_everything_public_is_explained() -> None:
    faults = [fault for module in MODULES for fault in doc_faults(tree(module), module)]
    assert not faults, "\n".join(faults)


def test_modules_are_small() -> None:
    sizes = {module: lines_of(module) for module in MODULES}
    large = [
        f"{module}: {n} lines; split it by subject" for module, n in sizes.items() if n > floors.MAX_LINES
    ]
    assert not large, "\n".join(large)
    # An empty __init__.py would only pull the figure down.
    middle = median(n for n in sizes.values() if n > 5)
    assert middle <= floors.MAX_MEDIAN_LINES, f"median module has {middle} lines"


@pytest.mark.parametrize(
    ("module", "source", "check"),
    [
        ("gateway/core/x.py", "from gateway.store import db", floor_faults),
        ("gateway/core/x.py", "from gateway import store", floor_faults),
        ("gateway/core/x.py", "def f():\n    import gateway.rights.fold", floor_faults),
        ("gateway/core/x.py", "from ..net import udp", floor_faults),
        ("gateway/keys/x.py", "from gateway.entries import types", floor_faults),
        ("gateway/tlog/x.py", "from gateway.wire import frame", floor_faults),
        ("gateway/core/x.py", "import gateway.elsewhere", floor_faults),
        ("gateway/core/x.py", "import os.path", purity_faults),
        ("gateway/core/x.py", "from time import monotonic_ns", purity_faults),
        ("gateway/core/x.py", "async def f(): ...", purity_faults),
        ("gateway/core/x.py", "x = open('a')", purity_faults),
        ("gateway/core/x.py", "import datetime\nx = datetime.datetime.now()", purity_faults),
        ("gateway/keys/x.py", "import nacl.signing\nk = nacl.signing.SigningKey.generate()", purity_faults),
        ("gateway/core/x.py", "import numpy as np\nr = np.random.default_rng()", purity_faults),
        ("gateway/core/x.py", "import numpy as np\nr = np.random.normal(3)", purity_faults),
        ("gateway/store/x.py", "from gateway.keys.seal import unseal", decryption_faults),
        ("gateway/app/web/x.py", "from gateway.keys import seal\nseal.unseal(1, 2, 3)", decryption_faults),
        ("gateway/net/x.py", "from nacl.secret import SecretBox", decryption_faults),
        ("gateway/core/x.py", "'''Doc.'''\nclass Thing: ...", doc_faults),
    ],
)
def test_the_checks_see_what_they_are_for(module: str, source: str, check) -> None:  # type: ignore[no-untyped-def]
    assert check(ast.parse(source), module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("gateway/entries/x.py", "from gateway.keys import sign"),
        ("gateway/core/x.py", "from gateway import __version__\nfrom gateway.core.ranges import Ranges"),
        ("gateway/core/x.py", "import numpy as np\nr = np.random.default_rng(7)\nx: np.random.Generator"),
        ("gateway/core/x.py", "def f(session, now):\n    session.open(now)\n    return now"),
        ("gateway/app/x.py", "from gateway.store import db\nfrom gateway.errors import ConfigError"),
    ],
)
def test_the_checks_let_good_code_pass(module: str, source: str) -> None:
    parsed = ast.parse(source)
    assert floor_faults(parsed, module) == []
    assert floors.FLOORS[room_of(module)] > floors.PURE_UP_TO or purity_faults(parsed, module) == []
