"""The error tree: whose fault it is, a stable code, and a hint that says the next step.

Every error that Vestibule raises on purpose is one of these. `code` belongs to a closed set (it is a metric label and
a word that documentation explains); `hint` is one sentence that a person can act on. Anything else that escapes is a
bug of ours. Exit codes follow `sysexits.h`; docs/operator.md lists them.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_USAGE = 2
EXIT_VERIFY = 65
EXIT_UNREACHABLE = 69
EXIT_TRY_LATER = 75
EXIT_REFUSED = 78


class VestibuleError(Exception):
    """Base of all expected errors.

    Args:
        code: stable word in lower_snake_case, from a closed set.
        message: what happened, where, and why; names nothing personal.
        hint: the next step, as one sentence; may be empty where none exists.
    """

    exit_code = 1

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class LocalError(VestibuleError):
    """Our side's fault: usage, configuration, a missing step."""

    exit_code = EXIT_USAGE


class ConfigError(LocalError):
    """A configuration or a store that this program refuses to run with."""

    exit_code = EXIT_REFUSED


class Unreachable(LocalError):
    """The daemon, a broker or a peer did not answer."""

    exit_code = EXIT_UNREACHABLE


class RemoteError(VestibuleError):
    """The other side's fault: bytes that break a format or a rule."""

    exit_code = EXIT_VERIFY


class WireError(RemoteError):
    """Bytes of a device or a peer that do not parse; `code` is the reason that is counted."""


class SignatureError(RemoteError):
    """A signature, tag or seal that does not verify."""


class ProofError(RemoteError):
    """A Merkle proof, note or checkpoint that does not hold."""


class StoreError(VestibuleError):
    """The disk. Raised with `fatal=True` when the outcome of a write is unknown: exit, restart, re-read.

    Args:
        fatal: True when a COMMIT or fsync failed, so that only a re-read can tell what is durable.
    """

    exit_code = EXIT_TRY_LATER

    def __init__(self, code: str, message: str, hint: str = "", *, fatal: bool = False) -> None:
        super().__init__(code, message, hint)
        self.fatal = fatal


class StoreRefused(StoreError):
    """A store that must not be opened as it is: moved, rolled back, newer, unfinished."""

    exit_code = EXIT_REFUSED


class Damage(VestibuleError):
    """Something on disk does not match what was signed.

    Args:
        where: batch, part, frame and byte offset as far as they are known.
    """

    exit_code = EXIT_VERIFY

    def __init__(
        self, code: str, message: str, hint: str = "", *, where: dict[str, int | str] | None = None
    ) -> None:
        super().__init__(code, message, hint)
        self.where = where or {}


class Divergence(VestibuleError):
    """Two statements of one log that cannot both be true. Kept as evidence, never retried away."""

    exit_code = EXIT_VERIFY


class Denied(VestibuleError):
    """`decide` or `permit` said no."""

    exit_code = EXIT_REFUSED
