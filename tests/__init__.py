"""The tests. A package only because one of the dependencies installs a `tests` package that would be found instead."""
