"""Keys and what is done with them: signatures, seals, derivation, link packets, DIDs. Pure; knows no files."""
