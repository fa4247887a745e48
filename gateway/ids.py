"""Names for the identifiers that travel through the house, so that one is never taken for another."""

from __future__ import annotations

from typing import NewType

DeviceId = NewType("DeviceId", int)
"""u32 that a pairing or `device add` gave; never reused in one store."""

LinkId = NewType("LinkId", int)
"""u32 that WELCOME gave; 0 means no link yet."""

RunId = NewType("RunId", int)
"""u64, random, one for each start of the app on the device."""

StreamId = NewType("StreamId", int)
"""u16 that the device chose for one stream of a run."""

SessionId = NewType("SessionId", bytes)
"""16 random bytes; stays inside the store and on the links."""

SubjectRef = NewType("SubjectRef", bytes)
"""16 random bytes that stand for a subject in the store; the pseudonym lives only in the key file beside its key."""

BatchNo = NewType("BatchNo", int)
"""Number of a batch, from 1, without holes; 0 means "none" in a receipt."""

StreamKey = tuple[SessionId, DeviceId, RunId, StreamId]
"""What identifies a stream, whatever link carries it."""

U16_MAX = 0xFFFF
U32_MAX = 0xFFFF_FFFF
U64_MAX = 0xFFFF_FFFF_FFFF_FFFF
