"""Entries: what may stand in our log. The signed envelope, and the closed set of types. Pure."""
