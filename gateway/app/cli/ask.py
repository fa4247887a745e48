"""Asking the daemon: finds its socket, words the case that nobody answers, and types what comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from gateway.app.cli.replies import Devices, SessionRow, Sessions
from gateway.app.cli.state import State
from gateway.errors import LocalError, RemoteError, Unreachable

T = TypeVar("T")

TIMEOUT_S: Final = 30.0
"""Most answers take one seal interval (at most 10 s) and a commit."""

SESSION_DIGITS: Final = 32


def ask(state: State, verb: str, args: dict[str, Any], timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """Send a verb to the daemon of this store.

    Returns:
        Its result; `replies` has the types.

    Raises:
        Unreachable: nobody answers; the hint says what is missing: the store, the daemon, or the right to ask.
        VestibuleError: what the daemon answered.
    """
    from gateway.net.control import call

    path = state.socket()
    try:
        return call(path, verb, args, timeout_s)
    except Unreachable as error:
        raise _explained(error, state) from error


def _explained(error: Unreachable, state: State) -> Unreachable:
    cause = error.__cause__
    if isinstance(cause, TimeoutError):
        return Unreachable(
            error.code,
            "the daemon did not answer in time",
            "It may be waiting for the disk, and do what was asked after it: see its log, and `vestibule status`.",
        )
    if isinstance(cause, PermissionError):
        return Unreachable(
            error.code,
            f"this user may not ask the daemon of {state.data_dir}",
            "Use `sudo`, or add the user to the service's group.",
        )
    hint = error.hint
    try:
        if not state.layout.database.exists():
            hint = f"There is no store in {state.data_dir}. {state.other_store()}"
    except PermissionError:
        # The service's directory: whether a store is there is not for this user to see.
        hint = "Start it with `systemctl start vestibule`."
    message = error.message if cause is None else f"no daemon answers for {state.data_dir}"
    return Unreachable(error.code, message, hint)


def typed(result: dict[str, Any], kind: type[T]) -> T:
    """Give a result its type.

    Raises:
        RemoteError: `reply`, the daemon speaks another version of the control protocol.
    """
    try:
        return msgspec.convert(result, kind)
    except msgspec.ValidationError as error:
        raise RemoteError(
            "reply",
            "the daemon answered in a form that this command does not know",
            "Are both of the same version? Compare `vestibule --version` with `vestibule status --json`.",
        ) from error


def find_session(state: State, beginning: str) -> SessionRow:
    """Find the session, closed or not, whose id begins with these hexadecimal digits.

    Args:
        state: of the command.
        beginning: 1 to 32 digits.

    Raises:
        LocalError: `session`, none or several begin like that.
    """
    if not _may_begin_an_id(beginning):
        raise LocalError(
            "session",
            f"{beginning!r} is not the beginning of a session id",
            "An id has 32 hexadecimal digits; see `vestibule session list`.",
        )
    rows = typed(ask(state, "session.list", {"all": True}), Sessions).sessions
    found = [row for row in rows if row.session.startswith(beginning.lower())]
    return _only("session", beginning, found, lambda row: row.session, "vestibule session list --all")


def find_running_session(state: State, named: str) -> SessionRow:
    """Find the session that runs, by the beginning of its id, or by the name or number of a device in it.

    Args:
        state: of the command.
        named: as somebody typed it. Digits can be both, an id and a device: then all that fit count.

    Raises:
        LocalError: `session`, none or several fit.
    """
    rows = typed(ask(state, "session.list", {}), Sessions).sessions
    by_id = [row for row in rows if _may_begin_an_id(named) and row.session.startswith(named.lower())]
    known = typed(ask(state, "device.list", {}), Devices).devices
    devices = {row.device for row in known if named in (row.name, str(row.device))}
    with_it = [row for row in rows if devices.intersection(row.devices)]
    # A device that records again may still deliver for the session before.
    with_it = [row for row in with_it if row.state == "open"] or with_it
    found = list({row.session: row for row in (*by_id, *with_it)}.values())
    if not found and devices:
        raise LocalError(
            "session", f"no open session has the device {named!r}", "See `vestibule session list`."
        )
    return _only("open session", named, found, lambda row: row.session, "vestibule session list")


def _may_begin_an_id(text: str) -> bool:
    return 0 < len(text) <= SESSION_DIGITS and not text.lower().strip("0123456789abcdef")


def find_device(state: State, named: str) -> int:
    """Find a device by its number or by its name.

    Raises:
        LocalError: `device`, none or several have that name.
    """
    if named.isascii() and named.isdigit():
        return int(named)
    rows = typed(ask(state, "device.list", {}), Devices).devices
    same = [row for row in rows if row.name == named]
    # A headset that was paired again left its old, revoked number behind under the same name.
    found = [row for row in same if row.state == "active"] or same
    return _only("device", named, found, lambda row: str(row.device), "vestibule device list").device


def _only(what: str, named: str, found: list[T], identity: Callable[[T], str], list_them: str) -> T:
    if len(found) == 1:
        return found[0]
    code = what.split()[-1]
    if not found:
        raise LocalError(code, f"there is no {what} {named!r}", f"See `{list_them}`.")
    some = ", ".join(identity(row) for row in found[:4]) + (", ..." if len(found) > 4 else "")
    raise LocalError(code, f"{named!r} could be any of {len(found)} {what}s: {some}", f"See `{list_them}`.")
