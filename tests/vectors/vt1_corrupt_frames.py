"""Corrupted twins whose frame is at fault, in a packet that is otherwise sound."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import vt1_corrupt as corrupt
import vt1_oracle as oracle
import vt1_samples as sampled

Json = dict[str, Any]
NAN, INFINITY = math.nan, math.inf


def frames(every: dict[str, Json], keys: Json) -> Iterator[Json]:
    """One twin for each rule of each kind."""
    base = every["data_one_frame"]
    pose = sampled.samples_bytes("pose", [sampled.pose()])

    def spoilt(field: str, place: int | None, value: float, **values: Any) -> Any:
        if place is None:
            return value
        return [value if n == place else old for n, old in enumerate(values[field])]

    cases: list[tuple[str, str, str, int, bytes]] = [
        (f"kind {number}", "kind", "no such kind", number, pose)
        for number in (0, 10, 15, 20, 255, 256, 2**32)
    ]
    cases += [
        ("no samples", "sample_size", "a frame without samples", 1, b""),
        ("63 bytes", "sample_size", "less than one pose", 1, pose[:-1]),
        ("65 bytes", "sample_size", "more than one pose", 1, pose + b"\0"),
        ("pose as gaze", "sample_size", "64 bytes are no gaze", 2, pose),
    ]
    marker = sampled.samples_bytes("marker", [sampled.marker("abc")])
    info = sampled.samples_bytes("info", [sampled.info("{}")])
    pcm = sampled.samples_bytes("pcm", [sampled.pcm()])
    cases += [
        ("two markers", "sample_size", "variable kinds have one sample a frame", 7, marker * 2),
        ("marker's header cut", "sample_size", "11 bytes", 7, marker[:11]),
        (
            "marker's length too small",
            "sample_size",
            "says 2, has 3",
            7,
            marker[:10] + b"\x02\0" + marker[12:],
        ),
        (
            "marker's length too large",
            "sample_size",
            "says 4, has 3",
            7,
            marker[:10] + b"\x04\0" + marker[12:],
        ),
        (
            "marker of 513 bytes",
            "sample_size",
            "512 are taken",
            7,
            sampled.samples_bytes("marker", [sampled.marker("m" * 513)]),
        ),
        ("marker not UTF-8", "malformed", "ff is no UTF-8", 7, marker[:-1] + b"\xff"),
        (
            "info of 1,025 bytes",
            "sample_size",
            "1,024 are taken",
            8,
            sampled.samples_bytes("info", [sampled.info('{"note":"' + "n" * 1014 + '"}')]),
        ),
        ("info not JSON", "malformed", "an open brace", 8, info[:-1] + b"{"),
        ("info a list", "malformed", "JSON, but no object", 8, info[:-2] + b"[]"),
        ("info empty", "malformed", "no JSON at all", 8, sampled.samples_bytes("info", [sampled.info("")])),
        ("sound's header cut", "sample_size", "15 bytes", 9, pcm[:15]),
        ("sound's count too large", "sample_size", "says 5, has 4", 9, pcm[:12] + b"\x05\0" + pcm[14:]),
        ("sound of 561", "sample_size", "560 are taken", 9, sampled.samples_bytes("pcm", [sampled.pcm(561)])),
        ("half a value", "sample_size", "an odd number of bytes", 9, pcm + b"\0"),
    ]
    bad: list[tuple[str, str, Json]] = []
    for field in ("position_m", "orientation", "linear_velocity", "angular_velocity"):
        for value in (NAN, INFINITY, -INFINITY):
            last = len(sampled.pose()[field]) - 1
            bad.append(
                (
                    f"pose, {field} {value}",
                    "pose",
                    sampled.pose(**{field: spoilt(field, last, value, **sampled.pose())}),
                )
            )
    for side in ("left", "right"):
        for field, value in (
            ("origin_m", [0.0, NAN, 0.0]),
            ("direction", [INFINITY, 0.0, 0.0]),
            ("pupil_mm", NAN),
            ("openness", NAN),
        ):
            bad.append(
                (f"gaze, {side} {field}", "gaze", sampled.gaze(**{side: sampled.eye(1.0, **{field: value})}))
            )
    for field in ("combined_origin_m", "combined_direction"):
        bad.append((f"gaze, {field}", "gaze", sampled.gaze(**{field: [0.0, 0.0, NAN]})))
    for joint, field in ((0, "position_m"), (24, "orientation")):
        values = sampled.hand()
        values["joints"][joint][field][-1] = NAN
        bad.append((f"hand, {field} of joint {joint}", "hand", values))
    bad += [
        ("haptic, amplitude", "haptic", sampled.haptic(amplitude=NAN)),
        ("haptic, frequency", "haptic", sampled.haptic(frequency_hz=INFINITY)),
        ("button, value", "button", sampled.button(value=[0.0, NAN])),
    ]
    for name in sampled.FACE_NAMES:
        weights = sampled.face(name)["weights"]
        bad.append((f"{name}, last weight", name, sampled.face(name, weights=[*weights[:-1], NAN])))
    cases += [
        (
            name,
            "not_finite",
            "not a number where a bit, or the kind, says it is one",
            oracle.KINDS[kind],
            sampled.samples_bytes(kind, [values]),
        )
        for name, kind, values in bad
    ]
    second = sampled.samples_bytes("pose", [sampled.pose(), sampled.pose(position_m=[0.0, NAN, 0.0])])
    cases.append(("second sample", "not_finite", "the first sample is sound", 1, second))
    for name in sampled.FACE_NAMES:
        schema, weights = oracle.FACES[name]
        for what, values in (
            ("schema", sampled.face(name, schema=schema + 1)),
            ("count", sampled.face(name, count=weights - 1)),
        ):
            why = "the record names another schema or count than its kind"
            cases.append(
                (f"{name}, {what}", "schema", why, oracle.KINDS[name], sampled.samples_bytes(name, [values]))
            )
    for name, reason, why, kind, samples in cases:
        frame = [1, kind, 0, samples]
        body = oracle.pack([0, [[1, 2]], [frame]])
        faulty = corrupt.twin(base, name, "frame", reason, why, corrupt.sealed(base, keys, body))
        yield faulty | {"body": body.hex(), "frame": oracle.pack(frame).hex()}
