"""Vectors of a device's spool: segments as bytes, with what a reader takes from them and where it cuts them."""

from __future__ import annotations

import struct
from typing import Any

import vt1_oracle as oracle
import vt1_samples as sampled
from vt1_build import DEVICE, GATEWAY, K_DEV, LINK, NONCE_D, NONCE_G, RUN, SESSION, WORKED

Json = dict[str, Any]

DOWN = oracle.link_keys(K_DEV, NONCE_D, NONCE_G, DEVICE, LINK, oracle.DOWN)
FRAMES = {
    "data_one_frame": ("pose",),
    "data_several_frames": ("pose_three", "gaze_blink", "haptic_stop"),
    "data_totals_only": (),
    "bye_end": (),
}
KEPT = tuple(FRAMES)
SAMPLES = {name: sum(len(sampled.FRAMES[frame][3]) for frame in frames) for name, frames in FRAMES.items()}


def header(device: int = DEVICE, link: int = LINK) -> bytes:
    fields = [device, RUN, link, SESSION, GATEWAY, WORKED.k_mac, DOWN.okm]
    body = oracle.pack(fields)
    return b"VTS1" + struct.pack("<H", len(body)) + body


def record(samples: int, packet: bytes) -> bytes:
    return struct.pack("<HI", len(packet), samples) + packet


def spool_file(uplink: list[Json]) -> Json:
    packets = {entry["name"]: bytes.fromhex(entry["packet"]) for entry in uplink}
    whole = [record(SAMPLES[name], packets[name]) for name in KEPT]
    two = header() + whole[0] + whole[1]
    forged = bytearray(whole[2])
    forged[-1] ^= 1
    other_link = bytearray(packets["data_one_frame"])
    other_link[4] ^= 1
    other_link[-16:] = oracle.tag(WORKED.k_mac, bytes(other_link[:-16]))
    # name -> the file, which packets a reader takes, where it cuts
    segments: dict[str, tuple[bytes, int, int]] = {
        "whole": (header() + b"".join(whole), 4, len(header() + b"".join(whole))),
        "header_only": (header(), 0, len(header())),
        "torn_packet": (two + whole[2][:-5], 2, len(two)),
        "torn_record_head": (two + whole[2][:3], 2, len(two)),
        "wrong_tag": (two + bytes(forged) + whole[3], 2, len(two)),
        "other_link": (two + record(1, bytes(other_link)) + whole[3], 2, len(two)),
        "other_type": (two + record(0, packets["sync"]) + whole[3], 2, len(two)),
        "zeros": (two + bytes(64), 2, len(two)),
        "same_packet_twice": (two + whole[0], 3, len(two) + len(whole[0])),
    }
    unusable = {
        "empty": b"",
        "torn_header": header()[:40],
        "other_magic": b"VTS2" + header()[4:] + whole[0],
        "header_of_six": b"VTS1" + struct.pack("<H", 3) + oracle.pack([1, 2]) + whole[0],
        "device_0": header(device=0) + whole[0],
    }
    taken = {"same_packet_twice": (*KEPT[:2], KEPT[0])}
    return {
        "device": DEVICE,
        "run": str(RUN),
        "link": LINK,
        "session": SESSION.hex(),
        "gateway": GATEWAY,
        "k_mac_up": WORKED.k_mac.hex(),
        "down": DOWN.okm.hex(),
        "file_name": f"{LINK}-0.vts",
        "header": header().hex(),
        "segments": [
            {
                "name": name,
                "file": data.hex(),
                "records": [
                    {
                        "packet": packets[kept].hex(),
                        "seq": str(struct.unpack_from("<Q", packets[kept], 8)[0]),
                        "samples": SAMPLES[kept],
                        "bye": kept.startswith("bye"),
                    }
                    for kept in taken.get(name, KEPT[:count])
                ],
                "sound_bytes": end,
            }
            for name, (data, count, end) in segments.items()
        ],
        "unusable": [{"name": name, "file": data.hex()} for name, data in unusable.items()],
    }
