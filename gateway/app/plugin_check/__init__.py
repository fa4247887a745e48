"""`plugin-check`: a gateway for authors of plugins, that explains each packet and ends with a sheet.

`watcher` is the machine: packets and verdicts in, lines and findings out, without socket or clock.
`gate` runs the real spine under it, `wire` stands between the two, `trial` provokes what the sheet asks for.
"""
