"""The configuration: every fault at once, each at its line, with the key that was meant."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from paths import ROOT

from gateway.app.cli.main import root
from gateway.app.config import FORMAT, SECTIONS, Problem, check, default_text, load, warnings
from gateway.app.config_rules import locate
from gateway.errors import EXIT_REFUSED, ConfigError
from gateway.tlog.note import VerifierKey

EXAMPLE = ("rig-1", "vestibule.example/rig-1", "uid:0")
GOOD = 'format = 1\n[gateway]\nname = "rig-1"\norigin = "vestibule.example/rig-1"\n'


def short(problems: list[Problem]) -> list[tuple[int, int, str, str]]:
    return [(p.line, p.column, p.key, p.nearest) for p in problems]


def test_the_shipped_file_is_the_default_text() -> None:
    shipped = (ROOT / "configs" / "vestibule.toml").read_text(encoding="utf-8")
    assert shipped == default_text(*EXAMPLE), "write it again from default_text"


def test_the_default_text_is_valid_and_names_every_key_with_a_comment() -> None:
    text = default_text(*EXAMPLE)
    assert check(text) == []
    values = tomllib.loads(text)
    assert values.pop("format") == FORMAT
    wanted = {name: {f.name for f in dataclasses.fields(kind)} for name, kind in SECTIONS.items()}
    assert {name: set(table) for name, table in values.items()} == wanted
    lines = text.splitlines()
    for (line, _column), key in ((place, key) for key, place in locate(text).items() if len(key) == 2):
        assert lines[line - 2].startswith("# "), key


def test_what_is_left_out_has_the_documented_default(tmp_path: Path) -> None:
    full, least = tmp_path / "full.toml", tmp_path / "least.toml"
    full.write_text(default_text(*EXAMPLE), encoding="utf-8")
    least.write_text(GOOD, encoding="utf-8")
    config = load(least)
    assert dataclasses.replace(load(full), access=config.access) == config
    assert config.access.actors == {}
    assert load(full).access.actors == {"uid:0": ("prove", "export", "view", "live")}
    assert (config.udp.listen, config.seal.interval_ms, config.limits.link_keep_s) == (
        "0.0.0.0:4747",
        1000,
        604800,
    )


def test_every_fault_is_told_at_once_with_line_and_nearest_name() -> None:
    text = """\
format = 1
[gateway]
nmae = "rig-1"
  origin = "with space"
[seal]
interval_ms = "1s"
max_batch_bytes = 1
[limts]
queue_packets = 1
[mqtt]
interval_ms = 5
port = true
"""
    assert short(check(text, "v.toml")) == [
        (2, 1, "gateway.name", ""),
        (3, 1, "gateway.nmae", "gateway.name"),
        (4, 3, "gateway.origin", ""),
        (6, 1, "seal.interval_ms", ""),
        (7, 1, "seal.max_batch_bytes", ""),
        (8, 1, "limts", "limits"),
        (11, 1, "mqtt.interval_ms", "seal.interval_ms"),
        (12, 1, "mqtt.port", ""),
    ]


def test_a_problem_reads_as_one_line() -> None:
    (problem,) = check(GOOD + "[seal]\ninterval_sm = 7\n", "v.toml")
    assert str(problem) == "v.toml:6:1: unknown key seal.interval_sm (did you mean seal.interval_ms?)"


def test_load_names_the_first_fault_and_counts_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "v.toml"
    path.write_text(GOOD + "[log]\nformat = 'xml'\nlevel = 'loud'\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"v\.toml:6:1: log\.format must be one of") as caught:
        load(path)
    assert caught.value.code == "config_invalid"
    assert "1 more" in caught.value.hint
    assert caught.value.exit_code == EXIT_REFUSED


@pytest.mark.parametrize(
    "content", [None, b"\xff\xfe", b"#" * (2 << 20)], ids=["absent", "not utf-8", "too large"]
)
def test_an_unreadable_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "v.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.code == "config_unreadable"


def test_a_newer_format_is_refused_and_nothing_else_is_said() -> None:
    (problem,) = check("future = true\nformat = 2\n")
    assert (problem.line, problem.key) == (2, "format")
    assert "newer" in problem.message


def test_text_that_is_not_toml_is_placed() -> None:
    (problem,) = check(GOOD + "port = = 3\n", "v.toml")
    assert (problem.line, problem.key) == (5, "")
    assert problem.column > 1


@pytest.mark.parametrize("value", ["[" * 20_000, "9" * 5000], ids=["deep", "long number"])
def test_monsters_are_problems_too(value: str) -> None:
    assert [p.key for p in check(f"{GOOD}x = {value}\n")] == [""]


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("[mqtt]\nenabled = true", "mqtt.host"),
        ('[mqtt]\nusername = "gw-rig-1"', "mqtt.username"),
        (
            '[mqtt]\nenabled = true\nhost = "broker"\ntls = false\nusername = "u"\npassword_file = "p"',
            "mqtt.tls",
        ),
        ("[limits]\nfree_disk_floor_bytes = 16777216", "limits.urgent_disk_floor_bytes"),
    ],
)
def test_keys_that_do_not_go_together(table: str, key: str) -> None:
    assert [p.key for p in check(GOOD + table)] == [key]
    other = GOOD.replace('"rig-1"', '"No Name"') + "[log]\nlevel = 'loud'\n"
    assert [p.key for p in check(other + table)] == ["gateway.name", "log.level", key], (
        "with faults elsewhere"
    )


@pytest.mark.parametrize(
    "table",
    [
        "[mqtt]\nenabled = 1",
        '[mqtt]\nenabled = true\nhots = "broker"',
        "[mqqt]\nenabled = true\n[mqtt]\nenabled = true",
        "[[mqtt]]\nenabled = true",
        '[mqtt]\nusername = "u"\npassword_file = 3',
        '[mqtt]\nenabled = true\nhost = "broker"\ntls = 0\nusername = "u"\npassword_file = "p"',
        "[limits]\nfree_disk_floor_bytes = 1",
        "[limits]\nurgent_disk_flor_bytes = 1\nfree_disk_floor_bytes = 16777216",
    ],
)
def test_nothing_is_concluded_from_a_key_that_is_wrong_by_itself(table: str) -> None:
    assert len(check(GOOD + table)) == 1


@pytest.mark.parametrize(
    "actors",
    [
        '{ "root" = ["prove"] }',
        '{ "uid:0" = "prove" }',
        '{ "uid:0" = ["everything"] }',
        '{ "uid:007" = [] }',
        "3",
    ],
)
def test_bad_actors_are_refused(actors: str) -> None:
    (problem,) = check(f"{GOOD}[access]\nactors = {actors}\n")
    assert problem.key.startswith("access.actors")
    assert (problem.line, problem.column) == (6, 1)


def test_every_fault_of_the_actors_is_told_at_its_line() -> None:
    text = '"root" = ["prove", "all", "any"]\n"uid:1" = ["view"]\n"uid:2" = "view"\n"gid:03" = []\n'
    problems = check(f"{GOOD}[access.actors]\n{text}")
    assert [(p.line, p.key) for p in problems] == [
        (6, "access.actors.root"),
        (6, "access.actors.root"),
        (6, "access.actors.root"),
        (8, "access.actors.uid:2"),
        (9, "access.actors.gid:03"),
    ]
    assert ["all" in p.message for p in problems[:3]] == [False, True, False]


def test_actors_may_be_a_table_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "v.toml"
    path.write_text(GOOD + '[access.actors]\n"uid:1000" = ["prove", "view"]\n', encoding="utf-8")
    assert load(path).access.actors == {"uid:1000": ("prove", "view")}


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "é" * 65, "a\\u0000", "a\\u00a0b"])
def test_bad_origins_are_refused(origin: str) -> None:
    assert [p.key for p in check(f'format = 1\n[gateway]\nname = "a"\norigin = "{origin}"')] == [
        "gateway.origin"
    ]


@pytest.mark.parametrize(
    "url", ["http://rig-1:4749", "https://rig-1/", "https://Rig-1:4749", "https://", "rig-1:4749"]
)
def test_a_url_that_no_roster_takes_is_refused(url: str) -> None:
    assert [p.key for p in check(f'{GOOD}[peers]\nurl = "{url}"')] == ["peers.url"]


@pytest.mark.parametrize("url", ["", "https://rig-1.clinic.example:4749", "https://[2001:db8::1]:4749/a"])
def test_a_url_that_a_roster_takes_is_taken(url: str) -> None:
    assert check(f'{GOOD}[peers]\nurl = "{url}"') == []


def test_a_log_to_cosign_is_named_by_its_key_not_by_that_of_a_witness() -> None:
    keys = {kind: VerifierKey.of("log.example", bytes(31) + b"\1", kind).encode() for kind in (1, 4)}
    lines = {kind: f'{GOOD}[peers]\nenabled = true\n[witness]\nlogs = ["{keys[kind]}"]' for kind in keys}
    assert check(lines[1]) == []
    assert [p.key for p in check(lines[4])] == ["witness.logs"]


@pytest.mark.parametrize("listen", ["4747", ":4747", "0.0.0.0:65536", "0.0.0.0", "a b:1", "::1:4747"])
def test_bad_addresses_are_refused(listen: str) -> None:
    assert [p.key for p in check(f'{GOOD}[udp]\nlisten = "{listen}"')] == ["udp.listen"]


def test_places_are_found_past_strings_comments_and_brackets() -> None:
    text = (
        "# [no]\n"
        'a = """\n[no]\nb = 1 \\" ""x\n"""  # c = 2\n'
        "d = [ # ]\n  'x]', \"#]\",\n]\n"
        "  [ t . \"q.r\" ] # x\n  k.'l m' = { z = 1, y = ']' }\n"
        "[[many]]\nn = '''\n] = '\n'''\nm = 1979-05-27T07:32:00Z\n"
    )
    assert tomllib.loads(text)
    assert locate(text) == {
        ("a",): (2, 1),
        ("d",): (6, 1),
        ("t",): (9, 3),
        ("t", "q.r"): (9, 3),
        ("t", "q.r", "k"): (10, 3),
        ("t", "q.r", "k", "l m"): (10, 3),
        ("many",): (11, 1),
        ("many", "n"): (12, 1),
        ("many", "m"): (15, 1),
    }


def test_a_broker_that_would_hold_back_is_warned_of() -> None:
    mqtt = '[mqtt]\nenabled = true\nhost = "localhost"\nreceive_maximum = {}\n'
    seal = "[seal]\ninterval_ms = 250\n[limits]\ndevice_packets_s = 1001\n"
    assert warnings(GOOD + mqtt.format(251) + seal) == []
    (warning,) = warnings(GOOD + mqtt.format(250) + seal, "v.toml")
    assert str(warning).startswith("v.toml:8:1: mqtt.receive_maximum is 250: one device may send")
    assert warning.message.endswith("; 251 would do")
    assert check(GOOD + mqtt.format(250) + seal) == [], "it is slow, not wrong"
    assert warnings((GOOD + mqtt.format(250) + seal).replace("true", "false")) == [], "no broker, no warning"
    (unsaid,) = warnings(GOOD + '[mqtt]\nenabled = true\nhost = "localhost"\n[seal]\ninterval_ms = 10000\n')
    assert (unsaid.line, unsaid.key) == (5, "mqtt.receive_maximum"), "the default stands under its table"
    assert warnings(default_text(*EXAMPLE).replace("enabled = false", "enabled = true")) == []


def test_check_shows_warnings_and_is_content(tmp_path: Path) -> None:
    path = tmp_path / "v.toml"
    path.write_text(GOOD + '[mqtt]\nenabled = true\nhost = "localhost"\nreceive_maximum = 1\n')
    done = CliRunner().invoke(root, ["check", str(path)])
    assert done.exit_code == 0, done.output
    assert f"warning: {path}:8:1: mqtt.receive_maximum is 1" in done.output
    assert "    receive_maximum = 1\n    ^" in done.output
    assert "no problems, 1 warning." in done.output
    told = json.loads(CliRunner().invoke(root, ["check", str(path), "--json"]).stdout)
    assert (told["ok"], told["problems"]) == (True, [])
    assert [one["key"] for one in told["warnings"]] == ["mqtt.receive_maximum"]


@given(st.text(max_size=200))
def test_any_text_gives_problems_and_never_another_error(text: str) -> None:
    assert check(text, "x"), "no random text is a configuration"


@given(st.text(alphabet="[]{}='\"#\n ab.1,\\", max_size=60))
def test_the_scanner_ends_on_whatever_tomllib_accepts(text: str) -> None:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert {key[0] for key in locate(text)} == set(values)
