"""The command line without a daemon: help, exit codes, JSON, what is said and what is never said."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from gateway.app.cli import exits, output
from gateway.app.cli.device import _links, _rotation
from gateway.app.cli.lazy import LazyGroup
from gateway.app.cli.main import VERBS, root
from gateway.app.cli.progress import Lines, _json_line, _text_line
from gateway.app.cli.replies import DeviceRow, LinkRow, Rotation
from gateway.app.cli.setup import ended
from gateway.app.cli.state import SYSTEM_DATA_DIR, State, default_data_dir, write_file
from gateway.app.cli.verify import depth
from gateway.app.report import Report
from gateway.errors import (
    EXIT_REFUSED,
    EXIT_TRY_LATER,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    EXIT_VERIFY,
    Damage,
    LocalError,
    StoreError,
    VestibuleError,
)
from gateway.tlog.note import COSIGNATURE, ED25519, parse_vkey

ORIGIN = "vestibule.example/rig-1"
PASSPHRASE = "four quite random words"


def vestibule(*args: str | Path, input: str | None = None) -> Result:
    return CliRunner().invoke(root, [str(arg) for arg in args], input=input)


def at(data_dir: Path, *args: str | Path) -> Result:
    return vestibule("--data-dir", data_dir, *args)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    data_dir = tmp_path / "store"
    done = at(data_dir, "init", "--origin", ORIGIN)
    assert done.exit_code == 0, done.stderr
    return data_dir


def all_commands(command: click.Command, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [words]
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            assert inner is not None
            found += all_commands(inner, (*words, name))
    return found


COMMANDS = all_commands(root)


# ---- help -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_verb_explains_itself_with_an_example(words: tuple[str, ...]) -> None:
    shown = vestibule(*words, "--help")
    assert shown.exit_code == 0
    assert f"Usage: root {' '.join(words)}".rstrip() in shown.stdout
    assert words == () or f"vestibule {words[0]}" in shown.stdout or "Example: vestibule" in shown.stdout


def test_the_help_promises_what_a_proof_proves() -> None:
    said = " ".join(vestibule("prove", "--help").stdout.split())
    assert "Write the proof that a sample was recorded, and that nothing of it was changed since." in said


def test_the_overview_lists_every_verb_and_loads_none() -> None:
    code = (
        "import sys; from gateway.app.cli.main import root\n"
        "try: root.main(['--help'], prog_name='vestibule')\n"
        "except SystemExit: pass\n"
        "heavy = {'rich', 'numpy', 'aiohttp', 'asyncio', 'cryptography', 'nacl', 'segno', 'structlog', 'msgspec'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    for section in VERBS.values():
        for name, verb in section.items():
            assert re.search(rf"^  {name} +{re.escape(verb.says)}", done.stdout, re.M)


def test_what_lists_or_reports_has_json() -> None:
    with_json = [words for words in COMMANDS if "--json" in vestibule(*words, "--help").stdout]
    without = [w for w in COMMANDS if w not in with_json and not _is_group(w)]
    assert without == [("run",)]


def _is_group(words: tuple[str, ...]) -> bool:
    command: click.Command | None = root
    for word in words:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
    return isinstance(command, click.Group)


def test_the_version_is_told() -> None:
    shown = vestibule("--version")
    assert (shown.exit_code, shown.stdout.split()[0]) == (0, "vestibule,")


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("vestibule, version ")


# ---- usage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["stauts"], "did you mean `root status`?"),
        (["session", "lst"], "lst"),
        (["status", "--jsno"], "--jsno"),
        (["device", "add"], "NAME"),
        (["prove", "xyz", "0", "0"], "is not the beginning of a session id"),
        (["init"], "a log needs an origin"),
        (["init", "--origin", "with space"], "the origin must be"),
    ],
)
def test_wrong_usage_is_2_with_a_next_step(tmp_path: Path, args: list[str], said: str) -> None:
    done = at(tmp_path / "none", *args)
    assert done.exit_code == EXIT_USAGE
    assert done.stdout == ""
    assert said in done.stderr
    assert "  next:  " in done.stderr


def test_no_verb_shows_the_overview(tmp_path: Path) -> None:
    done = at(tmp_path, "session")
    assert (done.exit_code, done.stdout) == (EXIT_USAGE, "")
    assert "  close " in done.stderr


# ---- the one way out --------------------------------------------------------------------------------------------


def raising(error: BaseException) -> Result:
    """Run a command that raises, under the root's own way out."""

    class Root(type(root)):  # type: ignore[misc]
        def list_commands(self, ctx: click.Context) -> list[str]:
            return ["fail"]

        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            return fail

    @click.command()
    @output.json_option
    def fail(as_json: bool) -> None:
        raise error

    group = Root(callback=click.pass_obj(lambda state: None))
    assert isinstance(group, LazyGroup)
    return CliRunner().invoke(group, ["fail"])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (
            Damage("part", "part 3 is not what was signed", "Restore it.", where={"batch": 7, "part": 3}),
            EXIT_VERIFY,
        ),
        (StoreError("locked", "the store is in use", "Stop it first."), EXIT_TRY_LATER),
        (KeyboardInterrupt(), exits.EXIT_INTERRUPTED),
        (ExceptionGroup("tasks", [StoreError("disk_io", "the disk failed")]), EXIT_TRY_LATER),
        (BaseExceptionGroup("tasks", [KeyboardInterrupt()]), exits.EXIT_INTERRUPTED),
        (ExceptionGroup("tasks", [StoreError("disk_io", "x"), KeyError("a")]), exits.EXIT_BUG),
        (PermissionError(13, "Permission denied", "/var/lib/vestibule/mark"), EXIT_REFUSED),
        (OSError(5, "Input/output error", "state.db"), EXIT_TRY_LATER),
    ],
)
def test_each_error_has_its_exit_code(error: BaseException, code: int) -> None:
    done = raising(error)
    assert done.exit_code == code
    assert done.stdout == ""
    assert done.stderr.startswith(("vestibule: ", "\nvestibule: "))


def test_an_error_says_what_where_and_the_next_step() -> None:
    done = raising(
        Damage("part", "part 3 is not what was signed", "Restore it.", where={"batch": 7, "part": 3})
    )
    assert done.stderr.splitlines() == [
        "vestibule: part 3 is not what was signed",
        "  where: batch 7, part 3",
        "  next:  Restore it.",
    ]


def test_a_bug_names_its_place_and_no_data() -> None:
    try:
        output.short_ids([None])  # type: ignore[list-item]
    except TypeError as error:
        bug = error
    done = raising(RuntimeError("Jane Doe, born 1970").with_traceback(bug.__traceback__))
    assert done.exit_code == exits.EXIT_BUG
    assert "this is a bug in Vestibule" in done.stderr
    assert "RuntimeError" in done.stderr
    assert "gateway/app/cli/output.py:" in done.stderr
    assert "Jane" not in done.stderr


def test_errors_are_json_where_json_was_asked_for(tmp_path: Path) -> None:
    done = at(tmp_path / "none", "status", "--json")
    assert (done.exit_code, done.stdout) == (EXIT_UNREACHABLE, "")
    told = json.loads(done.stderr)["error"]
    assert told["code"] == "daemon"
    assert " init`" in told["hint"]


# ---- set up -----------------------------------------------------------------------------------------------------


def test_init_makes_a_store_once(store: Path) -> None:
    again = at(store, "init", "--origin", ORIGIN)
    assert again.exit_code == EXIT_REFUSED
    assert at(store, "check").exit_code == 0
    assert 'name = "rig-1"' in (store / "vestibule.toml").read_text()


def test_init_reports_in_json(tmp_path: Path) -> None:
    done = at(tmp_path / "s", "init", "--origin", ORIGIN, "--name", "room-2", "--json")
    told = json.loads(done.stdout)
    assert told["origin"] == ORIGIN
    assert told["config"] == str(tmp_path / "s" / "vestibule.toml")
    assert 'name = "room-2"' in Path(told["config"]).read_text()


BROKEN = 'format = 1\n[gateway]\nname = "rig-1"\norigin = "a b"\n[seal]\ninterval_sm = 7\n'


def test_check_tells_all_at_once_and_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "v.toml"
    file.write_text(BROKEN)
    done = vestibule("check", file)
    assert done.exit_code == EXIT_REFUSED
    assert f"{file}:4:1: gateway.origin must be" in done.stdout
    assert f"{file}:6:1: unknown key seal.interval_sm (did you mean seal.interval_ms?)" in done.stdout
    assert "    interval_sm = 7\n    ^" in done.stdout
    assert "2 problems" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["v.toml"]
    assert file.read_text() == BROKEN


def test_check_in_json(tmp_path: Path) -> None:
    file = tmp_path / "v.toml"
    file.write_text(BROKEN)
    done = vestibule("check", file, "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["ok"]) == (EXIT_REFUSED, False)
    assert [(p["line"], p["key"], p["nearest"]) for p in told["problems"]] == [
        (4, "gateway.origin", ""),
        (6, "seal.interval_sm", "seal.interval_ms"),
    ]


@pytest.mark.parametrize("content", [b"not toml", b"\xff", None], ids=["no toml", "no text", "absent"])
def test_check_of_what_is_no_configuration(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "v.toml"
    if content is not None:
        file.write_bytes(content)
    done = vestibule("check", file)
    assert done.exit_code == EXIT_REFUSED
    assert "--config" not in done.stderr, "which is an option of `run`"
    assert ("next:  Give the FILE" in done.stderr) == (content != b"not toml")


def test_run_refuses_a_broken_configuration(store: Path) -> None:
    (store / "vestibule.toml").write_text(BROKEN)
    done = at(store, "run")
    assert done.exit_code == EXIT_REFUSED
    assert "gateway.origin" in done.stderr


# ---- the store without a daemon ---------------------------------------------------------------------------------


def test_a_new_store_verifies(store: Path) -> None:
    told = json.loads(at(store, "verify", "--json").stdout)
    assert (told["ok"], told["batches"], told["faults"]) == (True, 0, [])
    shown = at(store, "fsck")
    assert shown.exit_code == 0, shown.stderr
    assert "Everything is what was signed." in shown.stdout
    assert "  checked  no part yet" in shown.stdout


def test_how_deep_a_check_went_is_told_for_all_parts() -> None:
    assert depth(Report(opened=2)) == "2 parts down to each frame"
    assert depth(Report(unopened=1)) == "1 part down to the hash of sealed bytes"
    both = "3 parts down to the hash of sealed bytes, 1 part down to each frame"
    assert depth(Report(unopened=3, opened=1)) == both


@pytest.mark.parametrize("verb", [["verify"], ["fsck"], ["migrate"], ["run"], ["ledger", "export", "log"]])
def test_without_a_store_every_verb_refuses(tmp_path: Path, verb: list[str]) -> None:
    done = at(tmp_path / "none", *verb)
    assert (done.exit_code, done.stdout) == (EXIT_REFUSED, "")
    assert not (tmp_path / "none").exists()


def test_a_proof_that_is_none_does_not_verify(store: Path, tmp_path: Path) -> None:
    vkey = json.loads(at(store, "key", "show", "--json").stdout)["log"]
    proof = tmp_path / "x.proof"
    proof.write_text("{}")
    assert vestibule("verify", "--proof", proof, "--vkey", vkey).exit_code == EXIT_VERIFY
    assert vestibule("verify", "--proof", proof).exit_code == EXIT_USAGE
    assert vestibule("verify", "--vkey", vkey).exit_code == EXIT_USAGE
    assert vestibule("verify", "--proof", tmp_path / "absent", "--vkey", vkey).exit_code == EXIT_USAGE


@pytest.mark.parametrize("args", [["prove"], ["prove", "3f", "0"], ["prove", "--batch", "1", "--part", "0"]])
def test_a_proof_is_of_a_sample_or_of_a_batch(store: Path, args: list[str]) -> None:
    done = at(store, *args)
    assert done.exit_code == EXIT_USAGE
    assert "SESSION STREAM SAMPLE" in done.stderr


def test_a_batch_that_is_not_there_has_no_proof(store: Path) -> None:
    done = at(store, "prove", "--batch", "1")
    assert (done.exit_code, done.stdout) == (EXIT_USAGE, "")
    assert "batch 1 is not in the log" in done.stderr


def test_the_newest_format_needs_no_migration(store: Path) -> None:
    told = json.loads(at(store, "migrate", "--json").stdout)
    assert told["before"] == told["after"]
    assert "already" in at(store, "migrate").stdout


def test_the_log_is_exported_and_the_export_repeated(store: Path, tmp_path: Path) -> None:
    first = json.loads(at(store, "ledger", "export", tmp_path / "log", "--json").stdout)
    assert (tmp_path / "log" / "checkpoint").read_text().splitlines()[0] == ORIGIN
    assert (
        json.loads(at(store, "ledger", "export", tmp_path / "log", "--json").stdout)["size"] == first["size"]
    )


def test_a_copied_store_is_adopted_only_with_a_yes(store: Path, tmp_path: Path) -> None:
    assert at(store, "ledger", "adopt", "--yes").exit_code == EXIT_USAGE, "it is at home"
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    refused = at(copy, "run")
    assert refused.exit_code == EXIT_REFUSED
    assert "ledger adopt" in refused.stderr
    asked = at(copy, "ledger", "adopt")
    assert (asked.exit_code, asked.stdout) == (EXIT_USAGE, "")
    assert "Will the old copy never run again?" in asked.stderr
    told = json.loads(at(copy, "ledger", "adopt", "--yes", "--reason", "disk", "--json").stdout)
    assert told["size"] == 1
    assert at(copy, "verify").exit_code == 0


# ---- keys -------------------------------------------------------------------------------------------------------


def test_key_show_gives_what_others_verify_with(store: Path) -> None:
    told = json.loads(at(store, "key", "show", "--json").stdout)
    assert sorted(told) == ["gateway", "log", "origin", "witness"]
    log, witness = parse_vkey(told["log"]), parse_vkey(told["witness"])
    assert (told["origin"], log.name, log.sig_type, witness.sig_type) == (
        ORIGIN,
        ORIGIN,
        ED25519,
        COSIGNATURE,
    )
    assert told["gateway"].startswith("did:key:z6Mk")
    assert len(at(store, "key", "show").stdout.splitlines()) == 4


def test_keys_of_no_store(tmp_path: Path) -> None:
    done = at(tmp_path, "key", "show")
    assert done.exit_code == EXIT_REFUSED
    assert f"there is no store in {tmp_path}" in done.stderr


def test_escrow_goes_into_a_private_file_that_opens_again(store: Path, tmp_path: Path) -> None:
    from gateway.store.escrow import open_escrow

    words, out = tmp_path / "words", tmp_path / "escrow"
    words.write_text(PASSPHRASE + "\n")
    done = at(store, "key", "escrow", "--out", out, "--passphrase-file", words, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == {"file": str(out), "origin": ORIGIN}
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert open_escrow(out.read_bytes(), PASSPHRASE).origin == ORIGIN
    again = at(store, "key", "escrow", "--out", out, "--passphrase-file", words)
    assert again.exit_code == EXIT_USAGE
    assert "is not overwritten" in again.stderr


def test_escrow_asks_nobody_where_nobody_is(store: Path, tmp_path: Path) -> None:
    done = at(store, "key", "escrow", "--out", tmp_path / "e")
    assert done.exit_code == EXIT_USAGE
    assert "--passphrase-file" in done.stderr
    assert not (tmp_path / "e").exists()


# ---- nobody answers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        ["status"],
        ["stop"],
        ["pair"],
        ["device", "list"],
        ["device", "add", "x"],
        ["device", "rotate", "3"],
        ["device", "revoke", "3", "--yes"],
        ["device", "rotate", "3", "--wait"],
        ["device", "text", "3", "hello"],
        ["device", "haptic", "3", "--target", "left", "--amplitude", "1", "--ms", "10"],
        ["device", "marker", "3", "7"],
        ["session", "list"],
        ["session", "close", "3f"],
        ["session", "open", "-d", "1", "-s", "P-1", "-p", "therapy", "-k", "pose"],
        ["prove", "3f", "0", "0"],
    ],
    ids=" ".join,
)
def test_no_daemon_is_69(store: Path, args: list[str]) -> None:
    done = at(store, *args)
    assert (done.exit_code, done.stdout) == (EXIT_UNREACHABLE, "")
    assert f"`vestibule --data-dir {store} run`" in done.stderr


def test_the_end_of_a_process_is_noticed() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        with ended(child.pid) as is_gone:
            assert not is_gone(0.01)
            child.communicate(b"\n")
            assert is_gone(20.0)
        # Reaped by now: whoever takes its number next is another one.
        with ended(child.pid) as is_gone:
            assert is_gone(0.0)


def test_what_cannot_be_undone_wants_a_yes(store: Path) -> None:
    done = at(store, "device", "revoke", "3")
    assert done.exit_code == EXIT_USAGE
    assert "--yes" in done.stderr


def test_a_named_store_never_reaches_the_services_daemon(tmp_path: Path) -> None:
    services = tmp_path / "control.sock"
    services.touch()
    assert State(tmp_path / "mine").socket(services) == tmp_path / "mine" / "control.sock"
    assert (
        State(SYSTEM_DATA_DIR / "not-there").socket(services)
        == SYSTEM_DATA_DIR / "not-there" / "control.sock"
    )
    # The service's own store, and nothing in it: its daemon listens in its runtime directory.
    assert not (SYSTEM_DATA_DIR / "control.sock").exists()
    assert State(SYSTEM_DATA_DIR).socket(services) == services


def test_everybody_but_root_has_a_store_of_their_own() -> None:
    chosen = default_data_dir({"XDG_STATE_HOME": "/srv/state"})
    assert chosen == (SYSTEM_DATA_DIR if os.geteuid() == 0 else Path("/srv/state/vestibule"))


# ---- output -----------------------------------------------------------------------------------------------------


def test_names_cannot_steer_a_terminal() -> None:
    assert output.clean("a\x1b[2Jb\nc") == "a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}c"
    assert "\x1b" not in output.table(("Name",), [("\x1b[31mred",)])


def test_a_table_for_a_program_is_never_folded() -> None:
    long = "x" * 300
    lines = output.table(
        ("ID", "Name", "N"), [("1", long, "7"), ("22", "y", "1,000")], right=("N",)
    ).splitlines()
    assert len(lines) == 3
    assert long in lines[1]
    assert lines[2].endswith("1,000")


def test_columns_that_may_be_spared_go_before_a_line_is_folded() -> None:
    row = ("1df0995c", "pose, gaze, haptic", "therapy", "1,000")
    headings = ("ID", "Kinds", "Purpose", "Stored")
    for width, left in ((80, headings), (32, ("ID", "Purpose", "Stored")), (20, ("ID", "Stored"))):
        lines = output.table(
            headings, [row], right=("Stored",), spare=("Kinds", "Purpose"), width=width
        ).splitlines()
        assert tuple(lines[0].split()) == left
        assert len(lines) == 2


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "less than 1 s"), (59, "59 s"), (3661, "1 h 1 min"), (90_000, "1 d 1 h"), (7200, "2 h")],
)
def test_spans_are_words(seconds: float, said: str) -> None:
    assert output.span(seconds) == said


def test_ids_are_as_short_as_they_can_be_told_apart() -> None:
    first, second = "00112233" + "4" * 24, "00112233" + "5" * 24
    assert set(output.short_ids([first, second]).values()) == {"001122334444", "001122335555"}
    assert output.short_ids([first, first]) == {first: "00112233"}


def test_progress_is_a_line_now_and_then_with_the_time_left() -> None:
    now, lines = [0.0], list[str]()
    report = Lines(10.0, _text_line, lambda: now[0], lines.append)
    for second in range(26):
        now[0] = float(second)
        report("batches", second * 100, 10_000)
    report.end()
    assert lines == [
        "batches: 1,000 of 10,000 (10 %), about 1 min 30 s left",
        "batches: 2,000 of 10,000 (20 %), about 1 min 20 s left",
        "batches: 2,500 of 10,000 (25 %), about 1 min 15 s left",
    ]


def test_short_work_is_silent() -> None:
    lines = list[str]()
    report = Lines(10.0, _text_line, lambda: 0.0, lines.append)
    report("batches", 5, 5)
    report.end()
    assert lines == []


def test_progress_for_programs_is_json() -> None:
    assert json.loads(_json_line("batches", 1, 4, 3.04)) == {
        "progress": {"stage": "batches", "done": 1, "total": 4, "left_s": 3.0}
    }


def test_files_with_secrets_are_private_and_never_replaced(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    write_file(file, "one", secret=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(LocalError, match="is not overwritten"):
        write_file(file, "two", secret=True)
    assert file.read_text() == "one"
    (tmp_path / "link").symlink_to(file)
    with pytest.raises(VestibuleError):
        write_file(tmp_path / "link", "three", force=True)


def test_a_code_that_nobody_would_see_is_not_waited_for(store: Path) -> None:
    endless = at(store, "pair", "--wait", "--json")
    assert (endless.exit_code, "add --out" in endless.stderr) == (EXIT_USAGE, True)


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ("", "none"),
        ("live", "udp"),
        ("ended", "1 ended"),
        ("live live live live live", "udp and 4 draining"),
        ("ended moved live live", "udp, 1 draining and 2 ended"),
    ],
)
def test_the_link_that_is_used_is_shown_and_the_others_are_counted(states: str, said: str) -> None:
    links = [LinkRow(number, state, "mqtt") for number, state in enumerate(states.split())]
    if links and links[-1].state == "live":
        links.insert(0, LinkRow(99, "live", "udp"))
        del links[-1]
    assert _links(DeviceRow(1, "kit", "active", links=links)) == said


@pytest.mark.parametrize(
    ("made", "carried", "said"),
    [
        (Rotation(3, told=2), False, "was told it over 2 links"),
        (Rotation(3), False, "the next time it is heard"),
        (Rotation(3, by_file=True), True, "No link carries it"),
        (Rotation(3, again=True, answered="unsupported"), False, "ask again with --out"),
        (Rotation(3, again=True, answered="refused"), True, "Put the file into the folder"),
    ],
)
def test_a_new_key_says_how_it_gets_to_the_headset(made: Rotation, carried: bool, said: str) -> None:
    text = _rotation(made, carried)
    assert said in text
    assert ("pending already" in text) == made.again
