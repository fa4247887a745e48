"""The house itself: the only room that knows every other. Wiring, the spine, and the verbs of the command line."""
