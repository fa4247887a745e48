"""The client machine of VT1: what a headset does, in Python. Pure: clock, randomness and network come from outside."""
