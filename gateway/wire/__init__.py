"""Bytes to values and back, for devices: packets, their bodies, frames and the kinds of sample. Pure and strict."""
