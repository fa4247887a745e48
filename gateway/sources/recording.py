"""Any recording, whatever its format: `read_recording` looks at the bytes and picks the reader."""

from __future__ import annotations

import zlib

from gateway.sources import haptic_clip, pico, quest, sranipal
from gateway.sources.track import Recording, Track, refuse

__all__ = ["MAX_BYTES", "Recording", "Track", "read_recording"]

MAX_BYTES = 64 * 2**20
"""Of the text, unpacked: three trackers at 90 Hz write 1.2 MB a minute, so close to an hour. What would unpack
to more is refused before it is unpacked further."""

_GZIP = b"\x1f\x8b"
_HINT = (
    "Give a Quest CSV (t_s,fps,head_px,...), a Pico TSV (with Timeline), a VIVE Pro Eye text "
    "(time(100ns);time_stamp(ms);...) or a .haptic clip; each may be packed with gzip."
)


def read_recording(name: str, data: bytes) -> Recording:
    """Read a recording of any known format.

    Args:
        name: what to call it; plays no part in the choice of the reader.
        data: the file's bytes, perhaps packed with gzip.

    Returns:
        Its tracks and facts; faults are flagged, never repaired.

    Raises:
        LocalError: `recording`; says what was expected, with the line of a bad row.
    """
    if data.startswith(_GZIP):
        data = _unpack(data)
    if len(data) > MAX_BYTES:
        raise refuse(f"the recording has {len(data)} bytes; at most {MAX_BYTES}", "Cut it into shorter ones.")
    if data.lstrip()[:1] == b"{":
        return haptic_clip.read(name, data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refuse(f"byte {error.start} of the recording is not UTF-8 text", _HINT) from None
    header = text.partition("\n")[0]
    if header.startswith(quest.SIGNATURE):
        return quest.read(name, text)
    if header.startswith(sranipal.SIGNATURE):
        return sranipal.read(name, text)
    if pico.SIGNATURE in header:
        return pico.read(name, text)
    raise refuse("the recording begins like no format that is known here", _HINT)


def _unpack(data: bytes) -> bytes:
    """Unpack one gzip member; bounded, whole, and nothing after it."""
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        text = unpacker.decompress(data, MAX_BYTES + 1)
    except zlib.error:
        raise refuse("the recording is packed with gzip and damaged", "Fetch or pack it again.") from None
    if len(text) > MAX_BYTES:
        raise refuse(f"the recording unpacks to more than {MAX_BYTES} bytes", "Cut it into shorter ones.")
    if not unpacker.eof:
        raise refuse("the packed recording ends too early", "Fetch or pack it again.")
    if unpacker.unused_data:
        raise refuse(
            "there is something after the packed recording", "Pack the recording alone, as one gzip member."
        )
    return text
