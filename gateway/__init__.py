"""Vestibule: the telemetry gateway that a VR clinic's data passes through."""

__version__ = "0.1.0"
