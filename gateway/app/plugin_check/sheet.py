"""The sheet: the lines of the checklist (SPEC, "Checklist"), each judged by what was seen on the wire.

`pass` is said only where something was provoked and answered rightly; whatever was not provoked is `not seen`, with
what to do to see it. What no wire can tell is `review`, for a person.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.app.plugin_check.motion import ASKED
from gateway.app.plugin_check.say import Finding, Noted
from gateway.app.plugin_check.watcher import Watcher

PASS, FAIL, NOT_SEEN, REVIEW = "pass", "fail", "not seen", "review"
LEAST_RESENDS: Final = 5
LEAST_RISES: Final = 3
LEAST_ORDERS: Final = 8
OUTAGE_S: Final = 30


class Row(NamedTuple):
    """One line of the sheet.

    Args:
        number: from 1; 0 for what the checklist does not name.
        text: as SPEC has it.
        state: `pass`, `fail`, `not seen` or `review`.
        why: what was seen, or what to do to see it.
        findings: what speaks about it, failing ones first.
    """

    number: int
    text: str
    state: str
    why: str
    findings: tuple[Noted, ...] = ()


Judged = tuple[str, str]
VECTORS: Final = "run tests/vectors/vt1/{} in the plugin's own tests"


def _vectors(files: str) -> Callable[[Watcher], Judged]:
    def judge(watcher: Watcher) -> Judged:
        told = VECTORS.format(files)
        seen = watcher.facts["verified"]
        return (
            NOT_SEEN,
            f"{told}; on the wire nothing spoke against it ({seen:,} packets verified)" if seen else told,
        )

    return judge


def _review(what: str) -> Callable[[Watcher], Judged]:
    return lambda watcher: (REVIEW, what)


def _counter(watcher: Watcher) -> Judged:
    if watcher.facts["person.killed"] and watcher.facts["killed.welcome"]:
        return PASS, "the app was killed between the two, and its next HELLO was welcomed"
    return (
        NOT_SEEN,
        "kill the app after it stored the counter and before its HELLO leaves; the trial asks for it",
    )


def _resends(watcher: Watcher) -> Judged:
    count = watcher.facts["resends"]
    if count >= LEAST_RESENDS and not watcher.facts["verdict.bad_tag"]:
        return PASS, f"{count:,} packets came again, all of them the same bytes"
    return NOT_SEEN, "too few packets came again: let the trial run, or lose packets in your socket layer"


def _floor(watcher: Watcher) -> Judged:
    rises = watcher.facts["floor.rises"]
    if rises >= LEAST_RISES:
        return PASS, f"it rose {rises:,} times with the receipts"
    return NOT_SEEN, "send DATA for some seconds while receipts come"


def _outage(watcher: Watcher) -> Judged:
    if watcher.facts["outage.drained"] and watcher.facts["outage.s"] >= OUTAGE_S:
        return (
            PASS,
            f"gateway away for {watcher.facts['outage.s']} s: the backlog drained, nothing is missing",
        )
    if watcher.facts["outage.drained"]:
        return (
            NOT_SEEN,
            f"it drained after {watcher.facts['outage.s']} s; the line wants {OUTAGE_S} s (--outage)",
        )
    return NOT_SEEN, "let the trial take the gateway away"


def _overflow(watcher: Watcher) -> Judged:
    return (
        NOT_SEEN,
        "make your ring small (100 packets) and stop the gateway: `Missing` is what you count as `overflow`",
    )


def _sleep(watcher: Watcher) -> Judged:
    ended: set[tuple[int, bytes, int]] = set()
    for talk in watcher.talks.values():
        key = (talk.link.of.device, talk.link.session, talk.link.run)
        if key in ended and talk.link.recording and len(talk.delivery):
            return PASS, "after BYE with `sleep` or `pause` a new link went on in the same session and run"
        if talk.bye in ("sleep", "pause"):
            ended.add(key)
    return NOT_SEEN, "take the headset off until it sleeps, and put it on; or pause and resume the app"


def _killed(watcher: Watcher) -> Judged:
    runs = {(key[0], key[1]): 0 for key in watcher.runs}
    for device, session, _ in watcher.runs:
        runs[device, session] += 1
    if any(count > 1 for count in runs.values()) and not watcher.notes.kept.get("numbers.start"):
        return PASS, "a new run came in the same session, and its streams begin at 0"
    return NOT_SEEN, "kill the app while it records, and start it again"


def _stops(watcher: Watcher) -> Judged:
    closed, withdrawn = watcher.facts["stop.closed"], watcher.facts["stop.withdrawn"]
    if watcher.stopping.clean and closed and withdrawn:
        return (
            PASS,
            f"capture ended at once on {watcher.stopping.clean} links; that it shows is for a person to see",
        )
    return NOT_SEEN, "close the session while the device records; the trial does both"


def _kinds(watcher: Watcher) -> Judged:
    if watcher.facts["left_out.quiet"] and watcher.facts["left_out.came"]:
        return PASS, "a kind that was left out never came, and came once it was permitted"
    if watcher.facts["left_out.quiet"]:
        return (
            NOT_SEEN,
            "the kind that was left out did not come later either: leave out one that the plugin captures (--without)",
        )
    return NOT_SEEN, "let the trial run to its second session"


def _bits(watcher: Watcher) -> Judged:
    return REVIEW, "cover a sensor and look: bits go, values are neither 0 nor stale without `held`"


def _axes(watcher: Watcher) -> Judged:
    done = [word for word in ASKED if watcher.facts[f"moved.{word}"]]
    if len(done) == len(ASKED):
        return PASS, "right, up, forward and a turn to the left went where they should"
    return (
        NOT_SEEN,
        f"{len(done)} of {len(ASKED)} movements were seen: run the trial with a person in the headset",
    )


def _limits(watcher: Watcher) -> Judged:
    facts = watcher.orders.facts
    kept, done = facts["limits.kept"], sum(facts[f"{verb}.done"] for verb in ("haptic", "text", "marker"))
    if kept >= LEAST_ORDERS and done:
        return PASS, f"{kept} commands answered as they must be, {done} of the app's carried out"
    if kept >= LEAST_ORDERS:
        return NOT_SEEN, "the app carries out no command, so no limit could be seen"
    return NOT_SEEN, "let the trial send its commands"


def _holds(watcher: Watcher) -> Judged:
    if watcher.orders.facts["hold.done"] and watcher.facts["hold.went_on"]:
        return PASS, "it answered, and went on capturing; that it shows is for a person to see"
    return NOT_SEEN, "let the trial send `hold`"


def _rotates(watcher: Watcher) -> Judged:
    if watcher.facts["person.rotated"] and watcher.facts["killed.rotated"]:
        return PASS, "the app was killed between the two, and its next HELLO was welcomed"
    seen = "a rotation without a kill was seen; " if watcher.facts["rotated"] else ""
    return NOT_SEEN, f"{seen}kill the app after it stored the new key and before its HELLO leaves"


def _spool(watcher: Watcher) -> Judged:
    return (
        NOT_SEEN,
        "with a spool: kill the app while the gateway is away, start both: the run before is stored too",
    )


def _resets(watcher: Watcher) -> Judged:
    if watcher.facts["reset.ignored"]:
        return PASS, "a RESET for a packet that was never sent was ignored"
    return NOT_SEEN, VECTORS.format("handshake.json, corrupt.json")


ROWS: Final[tuple[tuple[int, str, Callable[[Watcher], Judged]], ...]] = (
    (1, "HKDF, link keys, counter mode byte-equal", _vectors("keys.json")),
    (2, "every record and frame byte-equal from its values", _vectors("frames.json")),
    (3, "MessagePack shortest forms, both sides of every boundary", _vectors("frames.json")),
    (
        4,
        "PAIR, HELLO, DATA, SYNC, BYE, answers byte-equal",
        _vectors("pairing.json, handshake.json, uplink.json"),
    ),
    (
        5,
        "PAIRED, WELCOME, RECEIPT, SYNC, COMMAND, RESET read",
        _vectors("pairing.json, handshake.json, downlink.json"),
    ),
    (6, "every corrupted twin for devices dropped, none raises", _vectors("corrupt.json")),
    (7, "u64 and i64 exact above 2^53", _vectors("uplink.json, downlink.json")),
    (
        8,
        "nonces and run from a cryptographic generator",
        _review("look where they come from; on the wire they differ"),
    ),
    (9, "HELLO counter persisted before the send", _counter),
    (10, "same bytes on every resend; no seq used twice", _resends),
    (11, "floor never above the own seq, and rises as receipts come", _floor),
    (12, "gateway stopped for 30 s: nothing lost, backlog drains, live data first", _outage),
    (13, "gateway stopped for longer than the ring: losses counted and told by totals", _overflow),
    (14, "headset sleep and wake: BYE, new link, same session and sample numbers", _sleep),
    (15, "app killed while recording: new run, streams from 0", _killed),
    (16, "`stop` and a withdrawal end capture at once, visibly", _stops),
    (17, "kinds that WELCOME does not list are not captured", _kinds),
    (18, "validity bits, no zero-fill", _bits),
    (19, "axes: move right, up, forward; turn left", _axes),
    (20, "limits of commands enforced by the device", _limits),
    (21, "RESET for a packet that was never sent is ignored", _resets),
    (
        22,
        "hot path: no allocation per sample, no work on the render thread above 0.1 ms",
        _review("measure it"),
    ),
    (
        23,
        "the person sees: recording, waiting, behind, not recording and why",
        _review("look, in the headset"),
    ),
    (24, "`hold` shows `disk_full` at once, capture goes on, a receipt ends it", _holds),
    (25, "`rotate`: kill the app between persisting the key and HELLO: next HELLO is taken", _rotates),
    (26, "with a spool: app killed during an outage, started again: the earlier run is stored", _spool),
    (
        27,
        "no names, no room scans, no device serials in `name`, `info`, markers",
        _review("read what the app writes there"),
    ),
)


def sheet(watcher: Watcher) -> list[Row]:
    """Judge every line by what the watcher saw; the last row, 0, is what the checklist does not name."""
    watcher.facts["resends"] = sum(talk.delivery.resends for talk in watcher.talks.values())
    watcher.facts["floor.rises"] = sum(talk.delivery.facts["floor.rises"] for talk in watcher.talks.values())
    made = []
    for number, text, judge in ROWS:
        state, why = judge(watcher)
        made.append(_row(watcher, number, text, state, why))
    seen = watcher.facts["up"]
    made.append(
        _row(
            watcher,
            0,
            "besides: what SPEC asks for and the checklist does not name",
            PASS if seen else NOT_SEEN,
            "nothing was found" if seen else "no packet came",
        )
    )
    return made


def _row(watcher: Watcher, number: int, text: str, state: str, why: str) -> Row:
    notes = sorted(
        (one for one in watcher.notes.kept.values() if one.finding.row == number), key=_failing_first
    )
    failing = [one for one in notes if one.finding.fails]
    if failing:
        state, why = FAIL, _why(failing[0])
    return Row(number, text, state, why, tuple(notes))


def _failing_first(note: Noted) -> tuple[bool, int]:
    return (not note.finding.fails, note.number)


def _why(note: Noted) -> str:
    finding: Finding = note.finding
    times = f", {note.count} times" if note.count > 1 else ""
    where = f" (first in packet {note.number}{times})" if note.number else ""
    return f"{finding.what}{where}. Mend: {finding.mend}"
