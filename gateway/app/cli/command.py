"""`device haptic`, `device text`, `device marker`: what a headset is asked for while it records, and its answer."""

from __future__ import annotations

from typing import Any, Final

import click

from gateway.app.cli import output, words
from gateway.app.cli.ask import TIMEOUT_S, ask, find_device
from gateway.app.cli.state import State
from gateway.errors import EXIT_UNREACHABLE, EXIT_USAGE, LocalError

WAIT_S: Final = 5.0
MAX_WAIT_S: Final = 30.0
SIDES: Final = {"left": 1, "right": 2}

_wait = click.option(
    "--timeout",
    "wait_s",
    type=click.FloatRange(0.1, MAX_WAIT_S),
    default=WAIT_S,
    show_default=True,
    help="Seconds to wait for its answer; after them it is asked no more.",
)


class Target(click.ParamType[int]):
    """`left`, `right`, or the number of a target."""

    name = "left|right|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of the target; whether the device has it, the device says."""
        if isinstance(value, int):
            return value
        try:
            return SIDES[value] if value in SIDES else int(value)
        except ValueError:
            self.fail(f"{value!r} is neither left, right nor a number", param, ctx)


@click.command("haptic")
@click.argument("named", metavar="DEVICE")
@click.option("--target", type=Target(), required=True, help="left, right, or a number.")
@click.option("--amplitude", type=float, required=True, help="0 to 1.")
@click.option("--ms", "duration_ms", type=int, required=True, help="0 to 10,000; 0 is the shortest there is.")
@click.option("--hz", type=float, default=0.0, help="1 to 1,000; without it the actuator chooses.")
@_wait
@output.json_option
@click.pass_obj
def haptic(
    state: State,
    named: str,
    target: int,
    amplitude: float,
    duration_ms: int,
    hz: float,
    wait_s: float,
    as_json: bool,
) -> None:
    """Play a vibration on a headset that records, and record it as a haptic sample.

    \b
    Example: vestibule device haptic 3 --target left --amplitude 0.5 --ms 200 --hz 160
    """
    _ask_device(state, named, "haptic", [target, amplitude, duration_ms, hz], wait_s, as_json)


@click.command("text")
@click.argument("named", metavar="DEVICE")
@click.argument("words_", metavar="TEXT")
@_wait
@output.json_option
@click.pass_obj
def text(state: State, named: str, words_: str, wait_s: float, as_json: bool) -> None:
    """Show a text to the person in a headset that records: at most 512 bytes, plain, without links.

    \b
    Example: vestibule device text "Quest, room 2" "Please look straight ahead."
    """
    _ask_device(state, named, "text", [words_], wait_s, as_json)


@click.command("marker")
@click.argument("named", metavar="DEVICE")
@click.argument("code", type=int)
@click.argument("words_", metavar="[TEXT]", default="")
@_wait
@output.json_option
@click.pass_obj
def marker(state: State, named: str, code: int, words_: str, wait_s: float, as_json: bool) -> None:
    """Put a marker into what a headset records, captured at the moment it hears of it.

    CODE is a number of your own, 0 to 65,535. Nothing that names a person belongs into the text.

    \b
    Example: vestibule device marker 3 17 "second exercise"
    """
    _ask_device(state, named, "marker", [code, words_], wait_s, as_json)


def _ask_device(state: State, named: str, verb: str, args: list[Any], wait_s: float, as_json: bool) -> None:
    number = find_device(state, named)
    asked = {"device": number, "verb": verb, "args": args, "seconds": wait_s}
    told = ask(state, "device.command", asked, wait_s + TIMEOUT_S)
    result = told["result"]
    failed = result != "done"
    if as_json:
        output.write_json(told)
        if failed:
            # The answer is data, also when it is no; the exit code says so to a program.
            click.get_current_context().exit(EXIT_UNREACHABLE if result in words.SILENT else EXIT_USAGE)
        return
    what, step = words.answer(verb, result, number, wait_s)
    if failed:
        error = LocalError(result, what, step)
        error.exit_code = EXIT_UNREACHABLE if result in words.SILENT else EXIT_USAGE
        raise error
    click.echo(f"{what} ({told['took_ms']} ms).")
