"""Where the tests find things: the checkout, and the shared inputs that lie beside it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
DATA = SHARED / "data"
VECTORS = ROOT / "tests" / "vectors"
