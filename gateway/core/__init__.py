"""The machines: pure state that takes events and a time, and gives effects. No clock, no disk, no network."""
