"""What a COMMAND may ask of the app: the limits that a device enforces, whoever sent it. Source: VT1, "Commands".

A gateway that was taken over must not be able to do more to a person than this table allows.
"""

from __future__ import annotations

from typing import Final

from gateway.device.config import DeviceConfig
from gateway.wire.control import Command
from gateway.wire.kinds import MARKER_MAX_BYTES

DONE: Final = "done"
REFUSED: Final = "refused"
UNSUPPORTED: Final = "unsupported"

MAX_DURATION_MS: Final = 10_000
MIN_FREQUENCY_HZ: Final = 1.0
MAX_FREQUENCY_HZ: Final = 1_000.0
MAX_TEXT_BYTES: Final = 512
MAX_CODE: Final = 0xFFFF
COMMANDS_S: Final = 20  # also how many may come at once
SECOND: Final = 1_000_000_000


class Commands:
    """Judges commands for the app, of all links together.

    Args:
        config: which verbs the app carries out, and the targets it has.
    """

    __slots__ = ("_config", "_filled_ns", "_tokens")

    def __init__(self, config: DeviceConfig) -> None:
        self._config = config
        self._tokens = float(COMMANDS_S)
        self._filled_ns: int | None = None

    def judge(self, command: Command, now_ns: int) -> str:
        """What to answer; only what is `done` is told to the app.

        Args:
            command: `haptic`, `text` or `marker`.
            now_ns: device time.
        """
        if command.verb not in self._config.commands:
            return UNSUPPORTED
        if not self._within_limits(command) or not self._take(now_ns):
            return REFUSED
        return DONE

    def _within_limits(self, command: Command) -> bool:
        match command.verb, command.args:
            case "haptic", [int(target), float(amplitude), int(duration_ms), float(frequency_hz)]:
                # A NaN is within none of these.
                return (
                    target in self._config.targets
                    and 0.0 <= amplitude <= 1.0
                    and 0 <= duration_ms <= MAX_DURATION_MS
                    and (frequency_hz == 0.0 or MIN_FREQUENCY_HZ <= frequency_hz <= MAX_FREQUENCY_HZ)
                )
            case "text", [str(text)]:
                return 0 < len(text.encode()) <= MAX_TEXT_BYTES
            case "marker", [int(code), str(text)]:
                return 0 <= code <= MAX_CODE and len(text.encode()) <= MARKER_MAX_BYTES
            case _:
                return False

    def _take(self, now_ns: int) -> bool:
        passed_ns = 0 if self._filled_ns is None else now_ns - self._filled_ns
        self._tokens = min(float(COMMANDS_S), self._tokens + passed_ns * COMMANDS_S / SECOND)
        self._filled_ns = now_ns
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
