"""`session`: one sitting of one person, from opening to the last sample that was delivered."""

from __future__ import annotations

import time

import click

from gateway.app.cli import output, words
from gateway.app.cli.ask import ask, find_device, find_running_session, typed
from gateway.app.cli.confirm import confirm
from gateway.app.cli.replies import SessionRow, Sessions
from gateway.app.cli.state import State


@click.group()
def session() -> None:
    """Sessions: what is recorded, of whom, by which devices. Ids may be shortened as far as they are unique.

    \b
    Example: vestibule session list
    """


@session.command("open")
@click.option(
    "--device", "-d", "devices", multiple=True, required=True, help="A device's number or name; repeat it."
)
@click.option("--subject", "-s", required=True, help="The patient's pseudonym. It never stands in the log.")
@click.option("--purpose", "-p", required=True, help="Why it is recorded, in a word or two.")
@click.option(
    "--kind", "-k", "kinds", multiple=True, required=True, help="A permitted kind, like pose; repeat it."
)
@output.json_option
@click.pass_obj
def open_session(
    state: State,
    devices: tuple[str, ...],
    subject: str,
    purpose: str,
    kinds: tuple[str, ...],
    as_json: bool,
) -> None:
    """Open a session: from now on these devices are recorded, in the kinds that are named and in no other.

    Kinds: pose, gaze, hand, haptic, button, clock, marker, info, pcm, face_fb2, face_arkit, face_unified, face_htc.
    `clock` and `info` tell of the device and not of the person, and are permitted in any case.

    \b
    Example: vestibule session open -d 3 -s P-0017 -p therapy -k pose -k haptic
    """
    args = {
        "devices": [find_device(state, named) for named in devices],
        "subject": subject,
        "purpose": purpose,
        "kinds": list(kinds),
    }
    result = ask(state, "session.open", args)
    if as_json:
        output.write_json(result)
        return
    click.echo(result["session"])
    output.note(
        f"Recording {', '.join(kinds)}. End it with `vestibule session close {result['session'][:8]}`."
    )


@session.command("close")
@click.argument("named", metavar="SESSION")
@click.option("--now", "at_once", is_flag=True, help="Do not wait for what the devices still hold.")
@click.option("--withdrawn", is_flag=True, help="The person withdrew consent: store nothing more, at once.")
@click.option("--yes", is_flag=True, help="Do not ask before --withdrawn.")
@output.json_option
@click.pass_obj
def close_session(state: State, named: str, at_once: bool, withdrawn: bool, yes: bool, as_json: bool) -> None:
    """Close a session: the devices stop, and deliver what they captured before.

    SESSION is the beginning of its id, or the name or number of a device that is in no other open session.
    With --now it ends at once, and what the devices still hold is counted as missing.

    With --withdrawn the person does not want it any more: from that moment on nothing more is stored, also of what was
    captured before; the devices are told so, and whatever they still send is refused. What was stored stays.

    \b
    Example: vestibule session close 3f2a
             vestibule session close "Quest, room 2"
             vestibule session close 3f2a --withdrawn
    """
    if withdrawn and at_once:
        raise click.UsageError("--withdrawn waits for nothing anyway; leave --now out")
    found = find_running_session(state, named)
    if withdrawn:
        confirm(
            f"Withdraw session {found.session[:8]} (subject {output.clean(found.subject)})? What its devices have not "
            "delivered yet will never be stored.",
            yes,
        )
    asked = {"session": found.session, "now": at_once, "withdrawn": withdrawn}
    result = ask(state, "session.close", asked)
    if as_json:
        output.write_json(result)
        return
    word = words.SESSION_STATES.get(result["state"], result["state"])
    if withdrawn:
        click.echo(f"{found.session}: withdrawn")
        output.note("Nothing more of it is stored, and its devices are told. What was stored before stays.")
        return
    click.echo(f"{found.session}: {output.clean(word)}")
    if result["state"] == "draining":
        output.note("The devices still deliver what they captured. `--now` ends it without that.")


@session.command("list")
@click.option("--all", "every", is_flag=True, help="Closed sessions too.")
@click.option("--streams", is_flag=True, help="One line for each stream.")
@output.json_option
@click.pass_obj
def list_sessions(state: State, every: bool, streams: bool, as_json: bool) -> None:
    """Sessions, with how many samples were stored, refused and never came.

    \b
    Example: vestibule session list --all
    """
    result = ask(state, "session.list", {"all": every})
    if as_json:
        output.write_json(result)
        return
    rows = typed(result, Sessions).sessions
    if not rows:
        more = "" if every else " `vestibule session list --all` shows closed ones."
        output.note(f"No session is open.{more}" if not every else "There is no session yet.")
        return
    click.echo(stream_table(rows) if streams else session_table(rows))


def session_table(rows: list[SessionRow], width: int = 0) -> str:
    """The table of sessions; counts are samples. `width` as in `output.table`."""
    short = output.short_ids([row.session for row in rows])
    now_ms = int(time.time() * 1000)
    proven = any(row.proof for row in rows)
    cells = [
        (
            short[row.session],
            row.subject,
            row.purpose,
            ", ".join(str(number) for number in row.devices),
            ", ".join(row.kinds),
            words.SESSION_STATES.get(row.state, row.state),
            output.moment(row.opened_ms),
            output.span(((row.closed_ms or now_ms) - row.opened_ms) / 1000),
            output.count(row.stored),
            words.reasons(row.refused) or "0",
            output.count(row.missing),
            *([row.proof] if proven else []),
        )
        for row in rows
    ]
    headings = (
        "ID",
        "Subject",
        "Purpose",
        "Devices",
        "Kinds",
        "State",
        "Opened",
        "Length",
        "Stored",
        "Refused",
        "Missing",
        *(["Proof"] if proven else []),
    )
    spare = ("Kinds", "Opened", "Purpose", "Devices")
    return output.table(headings, cells, right=("Stored", "Missing"), spare=spare, width=width)


def stream_table(rows: list[SessionRow]) -> str:
    """The table of streams; counts are samples."""
    short = output.short_ids([row.session for row in rows])
    cells = [
        (
            short[row.session],
            str(stream.device),
            stream.run,
            str(stream.stream),
            stream.kind,
            output.count(stream.total),
            output.count(stream.stored),
            words.reasons(stream.refused) or "0",
            output.count(stream.missing),
        )
        for row in rows
        for stream in row.streams
    ]
    headings = ("ID", "Device", "Run", "Stream", "Kind", "Sent", "Stored", "Refused", "Missing")
    numbers = ("Device", "Stream", "Sent", "Stored", "Missing")
    return output.table(headings, cells, right=numbers)
