"""Sample records: what is wrong in one frame's samples by itself (SPEC, "Sample records").

The gateway refuses what cannot be stored: sizes, schemas, NaN under a valid bit. Here stands besides what it stores
without a word and nobody can use later: quaternions that are none, zeros in place of missing values, bits without a
meaning. Values are never shown; a finding names the field, the sample and the byte.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.app.plugin_check import values
from gateway.app.plugin_check.say import Finding
from gateway.errors import WireError
from gateway.wire import frame as frames
from gateway.wire import kinds


def look(item: frames.Frame, permitted: frozenset[int] | None) -> list[Finding]:
    """Look at one frame.

    Args:
        item: of a DATA body whose fields are in range.
        permitted: kinds that the session permits; None where that is not known.
    """
    kind = kinds.KINDS.get(item.kind)
    if kind is None:
        return [
            Finding("frame.kind", 2, f"stream {item.stream}: there is no kind {item.kind}", "see SPEC, 13")
        ]
    if permitted is not None and item.kind not in permitted:
        what = f"{kind.name} came, and WELCOME did not list it"
        return [Finding("frame.not_permitted", 17, what, "capture only the kinds of WELCOME")]
    try:
        frames.sample_count(item)
        frames.check_samples(item)
    except WireError as error:
        return [_refused(error, kind, item)]
    if kind.variable:
        return _variable(kind, item.samples)
    return values.look(kind, item)


def _refused(error: WireError, kind: kinds.Kind, item: frames.Frame) -> Finding:
    name, size = kind.name, len(item.samples)
    if error.code == "not_finite":
        where = _not_finite(kind, item.samples)
        return Finding(
            "frame.not_finite",
            18,
            f"{name}: NaN or infinity where a bit says valid{where}",
            "clear the validity bit; write the value as 0x7fc00000",
        )
    if error.code == "schema":
        head = np.frombuffer(item.samples, kind.dtype)[0]
        count = kind.dtype["weights"].shape[0]
        return Finding(
            "frame.schema",
            2,
            f"{name}: it says schema {head['schema']}, count {head['count']}; wanted {kind.schema}, {count}",
            "write the pair of the kind (SPEC, 13)",
        )
    if error.code == "malformed":
        return Finding("frame.text", 2, f"{name}: {error.message}", "UTF-8; info is one JSON object")
    if kind.variable:
        what = f"{name}: {error.message}"
    else:
        whole, rest = divmod(size, kind.sample_bytes)
        what = (
            f"{name}: {size} bytes are {whole} records of {kind.sample_bytes} bytes and {rest} bytes more"
            if size
            else f"{name}: no record at all"
        )
    return Finding("frame.size", 2, what, "compare with the table of the kind in SPEC, 13, and frames.json")


def _not_finite(kind: kinds.Kind, data: bytes) -> str:
    """The first field of the first sample that has one."""
    for n, row in enumerate(np.frombuffer(data, kind.dtype)[:64]):
        for name in kind.dtype.names or ():
            for path, numbers in _floats(name, row[name]):
                if not np.isfinite(numbers).all():
                    return f": {path} of sample {n}"
    return ""


def _floats(name: str, value: Any) -> list[tuple[str, npt.NDArray[Any]]]:
    array = np.asarray(value)
    if array.dtype.names:
        return [pair for inner in array.dtype.names for pair in _floats(f"{name}.{inner}", array[inner])]
    return [(name, array)] if array.dtype.kind == "f" else []


def _variable(kind: kinds.Kind, data: bytes) -> list[Finding]:
    head = np.frombuffer(data, kind.dtype, 1)[0]
    if kind.number == kinds.PCM and head["format"] != 0:
        return [
            Finding(
                "record.format",
                2,
                f"pcm: format {head['format']} does not exist",
                "format 0: i16, round(32,767 x)",
            )
        ]
    return []
