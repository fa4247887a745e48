"""Recordings to samples, and simulated people: what can be streamed without a headset. Text in, arrays out."""
