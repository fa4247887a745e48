"""What every test run shares: how hypothesis draws, and how its finds can be repeated.

Profiles: `dev` (by hand: fresh seeds, a failure prints the blob and the seed that repeat it), `ci` (the same examples
every time, so that a red run is red for the change and not for the draw), `check` (the first few of those, for `make
check`) and `fuzz` (many examples). `CI` in the environment chooses `ci`; `VESTIBULE_HYPOTHESIS` names one outright.
"""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# Two shared cores: the time of one example says nothing about the code, so there is no deadline.
_COMMON = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("check", max_examples=20, derandomize=True, database=None, **_COMMON)
settings.register_profile("dev", max_examples=60, **_COMMON)
settings.register_profile("ci", max_examples=60, derandomize=True, database=None, **_COMMON)
settings.register_profile("fuzz", max_examples=20_000, **_COMMON)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in the background deaf to it, and every command that a test starts would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

PROFILE = os.environ.get("VESTIBULE_HYPOTHESIS") or ("ci" if os.environ.get("CI") else "dev")
settings.load_profile(PROFILE)


def pytest_report_header(config: pytest.Config) -> str:
    """Say which profile drew the examples, and with which seed where one was given."""
    seed = config.getoption("--hypothesis-seed", default=None)
    return f"hypothesis: profile {PROFILE}" + (f", seed {seed}" if seed is not None else "")
