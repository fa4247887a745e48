"""The disk: database, vault, mark, lock and key files. The daemon is its only writer (docs/store-format.md)."""
