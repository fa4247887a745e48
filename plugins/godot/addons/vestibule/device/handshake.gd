extends RefCounted
## A HELLO that waits for its WELCOME. Source: SPEC, "Handshake".

const Bodies := preload("../wire/bodies.gd")
const Config := preload("config.gd")
const Hash := preload("../keys/hash.gd")
const Packet := preload("../wire/packet.gd")

## Above the round trip of any clinic's network.
const HELLO_FIRST_NS := 250 * Config.MS
## Then periodic, for ever: a gateway may be started after the headsets.
const HELLO_MOST_NS := 5_000 * Config.MS

## The HELLO, the same bytes at each send.
var packet: PackedByteArray
## Its counter.
var seq := 0
## Its nonce.
var nonce_d: PackedByteArray
## The links it listed.
var links: PackedInt64Array
## The versions it offered.
var versions: PackedInt64Array
## Why it was sent: `start`, `open`, `retry`, `recover`, `rotate`, `ask`; `finished`, which tells that links of an earlier run
## are done with, since nothing can say BYE on them; `leave` once the app has stopped: what it brings gets BYE at once.
var cause := ""
## When it is sent again.
var next_ns := 0
## How often it was sent.
var sends := 1
## With `leave`: when it is given up.
var until_ns := 0


## Makes a HELLO that is being sent now; [param counter] is persisted before.
func _init(
	config: Config,
	hash: Hash,
	k_hs: PackedByteArray,
	counter: int,
	held: PackedInt64Array,
	why: String,
	now_ns: int
) -> void:
	seq = counter
	nonce_d = hash.random(Bodies.NONCE_BYTES)
	links = held
	versions = config.versions
	cause = why
	next_ns = now_ns + HELLO_FIRST_NS
	var bare := Bodies.hello(config.device, config.run, nonce_d, versions, links, 0)
	var pad := Bodies.padding(bare.size(), Packet.HELLO_BYTES)
	var body := Bodies.hello(config.device, config.run, nonce_d, versions, links, pad)
	packet = Packet.sealed_clear(hash, k_hs, Packet.HELLO, seq, now_ns, body)


## When something is to be done about it.
func wake_ns() -> int:
	return mini(next_ns, until_ns) if cause == "leave" else next_ns


## It is being sent again: the wait doubles up to its most.
func again(now_ns: int) -> void:
	next_ns = now_ns + mini(HELLO_FIRST_NS << mini(sends, 16), HELLO_MOST_NS)
	sends += 1


## Reads a WELCOME and checks that it answers this very HELLO. Its `fault` is "", `bad_tag`, a word of the body,
## `not_mine`, `downgrade` (versions are not what was offered) or `malformed`.
func open_welcome(
	hash: Hash, k_hs: PackedByteArray, head: Packet.Header, bytes: PackedByteArray
) -> Bodies.Welcome:
	var welcome := Bodies.Welcome.new()
	welcome.fault = "bad_tag"
	if not hash.tag_matches(k_hs, bytes):
		return welcome
	welcome = Bodies.read_welcome(Packet.body_of(bytes))
	if welcome.fault:
		return welcome
	if head.seq != seq or welcome.nonce_d != nonce_d:
		welcome.fault = "not_mine"
		return welcome
	# Whoever takes versions out of a HELLO on its way is seen here, since the tag covers the echo.
	var refused := welcome.state == Bodies.REFUSED  # then no version was chosen, perhaps because none suits
	if welcome.offered != versions or not (refused or versions.has(welcome.version)):
		welcome.fault = "downgrade"
	elif (
		not refused
		and (
			welcome.link == 0
			or head.link not in [0, welcome.link]
			or welcome.nonce_g.size() != Bodies.NONCE_BYTES
			or welcome.session.is_empty() == (welcome.state == Bodies.RECORDING)
		)
	):
		welcome.fault = "malformed"
	return welcome
