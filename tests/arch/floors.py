"""The house as a table: which room stands on which floor, and what may be used where. Edit the architecture here.

docs/adr/0001 tells the reasons; `test_floors.py` holds the code to this table. A new room is a new row.
"""

from __future__ import annotations

# room -> floor. Imports go strictly downwards; an entry is a package or a module directly under gateway/.
FLOORS = {
    # 0: words
    "errors": 0,
    "events": 0,
    "event_words": 0,
    "events_peers": 0,
    "ids": 0,
    "permit": 0,
    # 1: bytes <-> values
    "wire": 1,
    "keys": 1,
    "tlog": 1,
    "entries": 1,
    # 2: machines, folds, mappings
    "core": 2,
    "device": 2,
    "sources": 2,
    "rights": 2,
    "export": 2,
    # 3: the disk and the network
    "store": 3,
    "net": 3,
    # 4: what puts it together
    "app": 4,
}

# The only imports between rooms of one floor: (who imports, whom).
SAME_FLOOR = {
    ("events", "event_words"),
    ("events", "events_peers"),
    ("events_peers", "event_words"),
    ("entries", "keys"),
    ("tlog", "keys"),
}

# Rooms that know less than their floor would allow: room -> all it may import from this house.
NARROW = {
    "errors": set[str](),
    "ids": set[str](),
    "event_words": set[str](),
    "events_peers": {"event_words"},
    "events": {"event_words", "events_peers"},
    "permit": set[str](),
    # Any C2SP log, of whatever is logged: it must never learn of VR.
    "tlog": {"errors", "ids", "keys"},
    "keys": {"errors", "ids"},
}

PURE_UP_TO = 2  # floors 0-2: no clock, randomness, sockets, files, async, logging

# Modules whose import makes a room impure, with what to do instead.
IMPURE_MODULES = {
    "aiohttp": "the network belongs to net/",
    "aiosqlite": "the disk belongs to store/",
    "asyncio": "be a machine: step(event, now) -> effects",
    "click": "the command line belongs to app/cli",
    "concurrent": "floors 0-2 do one thing at a time",
    "fcntl": "the disk belongs to store/",
    "glob": "take text or bytes",
    "gmqtt": "the network belongs to net/",
    "http": "the network belongs to net/",
    "logging": "return events; app/observe writes them",
    "mmap": "take bytes",
    "multiprocessing": "floors 0-2 do one thing at a time",
    "os": "take what it would tell as an argument",
    "pathlib": "take text or bytes",
    "prometheus_client": "return events; app/observe counts them",
    "queue": "floors 0-2 do one thing at a time",
    "random": "take a generator or random bytes as an argument",
    "rich": "the screen belongs to app/cli",
    "sched": "tell `wake_at`",
    "secrets": "take random bytes as an argument",
    "select": "the network belongs to net/",
    "selectors": "the network belongs to net/",
    "shutil": "the disk belongs to store/",
    "signal": "the process belongs to app/",
    "socket": "the network belongs to net/",
    "sqlite3": "the disk belongs to store/",
    "ssl": "the network belongs to net/",
    "structlog": "return events; app/observe writes them",
    "subprocess": "the process belongs to app/",
    "tempfile": "the disk belongs to store/",
    "threading": "floors 0-2 do one thing at a time",
    "time": "take `now` as an argument",
    "uvloop": "be a machine: step(event, now) -> effects",
}

# Calls that bring the world in without an import of their own. Builtins are matched alone (a method may be called
# `open`), the others by the end of their dotted name.
IMPURE_BUILTINS = {
    "open": "take text or bytes",
    "input": "take text or bytes",
    "print": "return events; app/ speaks to people",
}
IMPURE_CALLS = {
    "datetime.now": "take `now` as an argument",
    "datetime.utcnow": "take `now` as an argument",
    "datetime.today": "take `now` as an argument",
    "date.today": "take `now` as an argument",
    "uuid1": "take random bytes as an argument",
    "uuid4": "take random bytes as an argument",
    "Key.generate": "take the seed as an argument",
    "generate_key": "take the key as an argument",
    "generate_private_key": "take the key as an argument",
    "utils.random": "take random bytes as an argument",
    "fromfile": "take bytes: numpy.frombuffer",
    "tofile": "give bytes: tobytes",
    "memmap": "take bytes: numpy.frombuffer",
    "np.load": "take bytes: numpy.frombuffer",
    "np.save": "give bytes: tobytes",
    "loadtxt": "take text",
    "genfromtxt": "take text",
    "savetxt": "give text",
}

# Of numpy.random only what makes or names a seeded generator; default_rng() without a seed is refused too.
NUMPY_RANDOM_ALLOWED = {"Generator", "default_rng", "SeedSequence", "PCG64", "Philox"}

# Who may turn sealed data back into plaintext. Data for people leaves through `decide` and release alone.
# name -> modules that may say it.
DECRYPTION = {
    "unseal": {
        "gateway/keys/seal.py",
        "gateway/app/release.py",
    },
    "keystream": {
        "gateway/keys/seal.py",
        "gateway/keys/locate.py",  # the key of a tag, which decrypts nothing
    },
    "open_part": {
        "gateway/app/release.py",
        "gateway/app/evidence.py",
        "gateway/app/find.py",
        "gateway/app/localise.py",  # this, verify_vault and verify_log look at plaintext, and give none
        "gateway/app/verify_vault.py",
    },
    "open_text": {
        "gateway/app/release.py",
        "gateway/app/verify_log.py",
    },
}
# The cipher libraries themselves: only the room `keys` may import them, so that nobody goes round the names above.
CIPHER_MODULES = ("cryptography.hazmat.primitives.ciphers", "nacl.secret", "nacl.public", "nacl.bindings")
CIPHER_ROOM = "keys"

# Every module and package directly in gateway/app, with its one job.
APP = {
    "adopt": "takes over a store that was made elsewhere",
    "arrivals": "hop 1: what the edges bring, until the spine looks at it",
    "audit": "a monitor for outsiders: one run over one log, with its key and what was seen before",
    "audit_entries": "the entries of a log in order, and what people should know of them",
    "audit_hashes": "leaf hashes that a monitor verified, on disk",
    "audit_heads": "what a head says against those that were seen before",
    "audit_report": "figures and findings of a run, and its exit code",
    "audit_source": "where a monitor reads a log",
    "audit_state": "what a monitor remembers of each log",
    "audit_tiles": "tiles and bundles that a signed head vouches for",
    "audit_trust": "whether enough witnesses cosigned a head, and how old it is",
    "catch_up": "an old copy of a store gets the entries that it lost back from mirrors",
    "child": "started on a store, waited for, stopped in order. For demonstrations",
    "cli": "the commands; talks to the daemon over its control socket",
    "config": "strict TOML -> values",
    "config_rules": "what a value of the configuration may be, and where in the text it stands",
    "config_tables": "every key of the configuration, with its manual",
    "crew": "those whose keys are given, or new ones of a running daemon",
    "cycle": "hop 5: the one commit, in the one order",
    "daemon": "start, run and stop in the right order",
    "demo": "a clinic in a minute, with simulated people",
    "demo_rigs": "a simulated person in each, and what that person allows",
    "desk": "asks a running daemon for devices and sessions, as a replay or a demonstration needs them",
    "drive": "runs the machines of core/ in asyncio",
    "evidence": "the proof document of a frame or a batch, and its verification",
    "evidence_form": "how a proof document is written, and read strictly",
    "export": "the log as static files, and the same for HTTP",
    "feed": "the samples of recordings, given to a device in the order and at the pace in which a",
    "find": "a sample's number -> part and frame",
    "fsck": "the same check of everything, with what mends each fault",
    "generation": "another log takes the place of one that cannot go on",
    "guard": "whoever holds a head of our own log is asked before anything is signed",
    "house": "everything the spine works with",
    "init": "makes a store",
    "keyfile": "what `vestibule device add` writes, and what a device without an app of its own keeps",
    "known": "the keys that a check may use",
    "localise": "the byte and the frame where a payload was changed",
    "migrate": "an older store -> this release's format",
    "newest": "the newest head of our own log that anybody holds",
    "notify": "tells systemd about readiness and life",
    "observe": "events -> one log line and metrics each",
    "outcome": "what the devices captured against what the gateway stored, refused and missed",
    "plugin_check": "a gateway for authors of plugins: explains each packet, and ends with a sheet",
    "past": "what is known of a log that cannot go on",
    "prove": "one frame with its proof, through the door",
    "refetch": "our own log as mirrors have it, verified",
    "regain": "brings entries of our own log back into its database",
    "release": "the one door through which plaintext leaves",
    "replay": "sends recordings as headsets would, and says what became of each sample",
    "report": "what a check found",
    "requests": "the form of requests on the control socket, and how their arguments are read",
    "roster_edit": "the next version of a roster, and what of it is still to be signed",
    "restore": "a store on an empty disk, out of escrowed keys and mirrors",
    "rig": "a device machine with a key, a transport and a driver of its own",
    "rotate": "another key takes the place of one",
    "rotations": "the rotations of keys that a log tells of",
    "spine": "hops 2 to 5 of a frame, in order",
    "simulate": "simulated people in simulated headsets, for a time or until it is told to stop",
    "spool_files": "segments of sealed packets, one folder for each device",
    "startup": "locks a store, judges it against its mark and its own bytes, and opens it",
    "status": "rows for status and lists",
    "transports": "over a broker, and over a network that is as bad as asked for",
    "verbs": "the verbs of the control socket",
    "verbs_command": "asks headsets for something, and waits for their answer",
    "verbs_device": "pairing, key files, rotation, revocation",
    "verbs_session": "opens, closes, withdraws and lists sessions",
    "verify": "checks all that is stored, up to the first fault",
    "verify_log": "checks entries, tiles, head and mark",
    "verify_peers": "checks peers.db: promises, mirrors, evidence",
    "verify_sums": "checks the accounting against what frames hold",
    "verify_tiles": "checks every hash tile",
    "verify_vault": "checks segments, parts and batches",
    "confirming": "asks witnesses, one task each, and takes answers",
    "courier": "one bounded outbox and one request at a time for each",
    "federation": "takes part in a federation, and answers whoever asks for logs and cosignatures",
    "gauges": "what waits, what is kept, how far others are",
    "joining": "those that a person brings, and the first one",
    "membership": "who we are in it, and how another version comes into force",
    "peer_house": "What a federation needs of the house it belongs to",
    "mirrors": "runs the mirror machine",
    "scrub": "reads the mirrors again, slowly and for ever",
    "peer_log_reader": "mirrors as others read them",
    "peer_machines": "what is followed, and who steps it",
    "peer_report": "what peers brought and what was refused of it",
    "peer_steps": "one at a time, and their effects in their order",
    "peer_view": "rows. Decides nothing",
    "peer_compare": "rows. Decides nothing",
    "kept_evidence": "shown with the daemon and without it, and taken in",
    "shown": "our own, and copies of others under their hash",
    "verbs_peer": "cards, the roster, what peers know, evidence",
    "wiring": "what is connected with what",
}

MAX_LINES = 400
MAX_MEDIAN_LINES = 200
