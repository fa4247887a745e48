"""Writes the golden vectors of VT1 to `tests/vectors/vt1/*.json`: `python tests/vectors/generate.py [--check]`.

The same bytes in every run. How to read them (also from GDScript, where every number of a JSON file is a double): bytes
are lower-case hex; integers of 64 bits are decimal strings, smaller ones numbers; a float NaN is the string "nan"; the
arguments of a COMMAND carry their type. Each file stands alone and holds the keys that its packets need.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import vt1_corrupt
import vt1_corrupt_bodies
import vt1_corrupt_frames
import vt1_oracle as oracle
from vt1_build import DEVICE, K_DEV, LINK, NONCE_D, NONCE_G, WORKED, keys_json
from vt1_handshake import handshake_file, keys_file, pairing_file
from vt1_links import downlink_packets, frames_file, uplink_packets
from vt1_spool import spool_file

DIRECTORY = Path(__file__).resolve().parent / "vt1"
Json = dict[str, Any]


def build() -> dict[str, str]:
    """All files: name -> text."""
    up, down = (
        keys_json(WORKED),
        keys_json(oracle.link_keys(K_DEV, NONCE_D, NONCE_G, DEVICE, LINK, oracle.DOWN)),
    )
    shared = {
        "device": DEVICE,
        "link": LINK,
        "k_dev": K_DEV.hex(),
        "nonce_d": NONCE_D.hex(),
        "nonce_g": NONCE_G.hex(),
    }
    frames, uplink, downlink = frames_file(), uplink_packets(), downlink_packets()
    pairing, handshake = pairing_file(), handshake_file()
    every = {
        packet["name"]: packet
        for file in (pairing["packets"], handshake["packets"], uplink, downlink)
        for packet in file
    }
    lookup = {
        "handshake_key": handshake["handshake_key"],
        "pairing_key": pairing["pairing_key"],
        "up": up,
        "down": down,
    }
    rooms = (vt1_corrupt.outside, vt1_corrupt_bodies.bodies, vt1_corrupt_frames.frames)
    twins = [twin for room in rooms for twin in room(every, lookup)]
    assert len({twin["name"] for twin in twins}) == len(twins), "two twins of one name"
    files: dict[str, tuple[str, Json]] = {
        "keys": ("Every derivation step by step, and the primitives below them.", keys_file()),
        "pairing": ("PAIR and PAIRED.", pairing),
        "handshake": ("HELLO, WELCOME and RESET, and the keys of the links they made.", handshake),
        "frames": ("MessagePack's shortest forms, the records, and frames of every kind.", frames),
        "uplink": ("Packets of a device on its link.", shared | {"keys": up, "packets": uplink}),
        "downlink": ("Packets of a gateway on a link.", shared | {"keys": down, "packets": downlink}),
        "spool": ("Segments of a device's spool, and what a reader takes from them.", spool_file(uplink)),
        "corrupt": (
            "Packets with one fault each: where it is found, and the word it is refused with.",
            {"device": DEVICE, "link": LINK, "keys": lookup, "packets": twins},
        ),
    }
    return {
        f"{name}.json": json.dumps({"vt1": 1, "about": about} | content, indent=1, ensure_ascii=True) + "\n"
        for name, (about, content) in files.items()
    }


def main() -> int:
    files = build()
    DIRECTORY.mkdir(exist_ok=True)
    stale = [
        name
        for name, text in files.items()
        if not (DIRECTORY / name).is_file() or (DIRECTORY / name).read_text(encoding="ascii") != text
    ]
    if "--check" in sys.argv[1:]:
        print(
            "\n".join(f"{name} is not what the generator writes" for name in stale)
            or "the vectors are up to date"
        )
        return 1 if stale else 0
    for name in stale:
        (DIRECTORY / name).write_text(files[name], encoding="ascii")
    print(f"{len(stale)} of {len(files)} files written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
