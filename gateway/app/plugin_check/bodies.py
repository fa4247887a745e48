"""A body in words: what is wrong with it, at which byte, and what it says when nothing is."""

from __future__ import annotations

from collections.abc import Callable

from gateway.app.plugin_check import reading, shapes
from gateway.app.plugin_check.reading import Node
from gateway.app.plugin_check.say import Finding, Spot
from gateway.wire import kinds
from gateway.wire import packet as wire

FAR_NS = 366 * 86_400 * 1_000_000_000  # a monotonic clock begins at a start of the device
MAX_SHOWN = 4  # faults of one body: the first ones are nearly always the cause of the rest


def sound_for(kind: int, t_send_ns: int) -> Callable[[bytes], bool]:
    """Tells whether bytes are a body of a type: what a decryption is judged by.

    Args:
        kind: the type.
        t_send_ns: of the packet's header.
    """

    def sound(data: bytes) -> bool:
        found = reading.read(data)
        root = found.root
        if root is None or found.broken or found.foreign or found.longer or root.form != "array":
            return False
        return not shapes.faults_of(kind, root) and plausible(kind, root, t_send_ns)

    return sound


def plausible(kind: int, root: Node, t_send_ns: int) -> bool:
    """Whether samples may be what was captured, and not noise of a wrong key stream.

    The fields of a short packet stand in its first 16 bytes, so a wrong block index leaves them readable: the gateway
    would store the noise that follows. Capture times say it: those of noise lie years away from the send.
    """
    if kind != wire.DATA:
        return True
    for frame in root.items[2].items:
        number, samples = frame.items[1].value, frame.items[3].value
        known = kinds.KINDS.get(number)
        if (
            known is None
            or len(samples) < known.sample_bytes
            or (not known.variable and len(samples) % known.sample_bytes)
        ):
            continue
        times = kinds.capture_times(known, samples)
        far = sum(abs(int(time_ns) - t_send_ns) > FAR_NS for time_ns in times[:64])
        if 2 * far > len(times[:64]):
            return False
    return True


def look(kind: int, body: bytes) -> tuple[Node | None, list[Finding], list[Spot]]:
    """Look at a body in the clear.

    Returns:
        The value if its fields are as they must be, what is wrong, and where.
    """
    found = reading.read(body)
    findings: list[Finding] = []
    spots: list[Spot] = []

    def wrong(code: str, row: int, at: int, what: str, wanted: str, mend: str) -> None:
        if len(spots) < MAX_SHOWN:
            findings.append(Finding(code, row, f"{what} (byte {at} of the body)", mend))
            spots.append(Spot(at, body[at : at + 8], wanted))

    for at, what, short in found.longer:
        wrong(
            "body.not_shortest", 3, at, f"{what} is not the shortest form", short, f"write {short} (SPEC, 3)"
        )
    for at, what in found.foreign:
        wrong("body.foreign", 3, at, f"it holds {what}", "", "use only the formats of SPEC, 3")
    if found.broken is not None:
        at, what = found.broken
        code = "body.trailing" if found.root is not None else "body.broken"
        wrong(code, 4, at, what, "", "compare with uplink.json byte by byte")
    if found.root is not None:
        for at, name, what, wanted in shapes.faults_of(kind, found.root):
            code = (
                "body.fields"
                if what.endswith("fields")
                else "body.range"
                if what.startswith("it is ") and wanted[:1].isdigit()
                else "body.field"
            )
            wrong(code, 4, at, f"{name}: {what}, wanted {wanted}", wanted, f"see {name} in SPEC, 10")
    return (found.root if not findings and found.root is not None else None), findings, spots


def in_words(kind: int, root: Node) -> tuple[str, list[tuple[str, str]]]:
    """What a sound body says, and its fields without nonces, keys and samples."""
    items = root.items
    if kind == wire.PAIR:
        return "asks to be paired", [("name", f"{len(items[1].value)} characters")]
    if kind == wire.HELLO:
        versions = ", ".join(str(one.value) for one in items[3].items)
        links = ", ".join(str(one.value) for one in items[4].items) or "none"
        return (
            f"device {items[0].value} asks for a link, still uses links: {links}",
            [
                ("device", str(items[0].value)),
                ("run", f"{items[1].value:016x}"),
                ("versions", versions),
                ("links", links),
            ],
        )
    if kind == wire.DATA:
        frames = [_frame(one) for one in items[2].items]
        says = "; ".join(frames[:4]) + (f"; {len(frames) - 4} more frames" if len(frames) > 4 else "")
        return says or "totals only", [("floor", str(items[0].value)), ("totals", _totals(items[1]))]
    if kind == wire.RECEIPT:
        answers = ", ".join(
            f"{row.items[1].value} to command {row.items[0].value & (1 << 48) - 1}"
            for row in items[0].items[:6]
        )
        return f"answers {answers or 'nothing'}", []
    if kind == wire.SYNC:
        return "clock probe", [("t1_ns", str(items[0].value))]
    if kind == wire.BYE:
        return f"ends its link: {items[2].value}", [
            ("floor", str(items[0].value)),
            ("totals", _totals(items[1])),
        ]
    return "", []


def _totals(node: Node) -> str:
    return ", ".join(f"{row.items[0].value}: {row.items[1].value}" for row in node.items[:16]) or "none"


def _frame(node: Node) -> str:
    stream, kind, first, samples = (one.value for one in node.items)
    known = kinds.KINDS.get(kind)
    if known is None:
        return f"stream {stream}: unknown kind {kind}"
    count = 1 if known.variable else len(samples) // known.sample_bytes
    return f"{known.name} {first}..{first + max(count, 1) - 1} (stream {stream})"
