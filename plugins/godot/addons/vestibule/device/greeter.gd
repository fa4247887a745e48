extends RefCounted
## Sends HELLOs: the counter, the one that waits for its WELCOME, and when the next is due.

const Config := preload("config.gd")
const Effects := preload("effects.gd")
const Handshake := preload("handshake.gd")
const Hash := preload("../keys/hash.gd")

## A RESET brings a HELLO no sooner after the last: a loop of both stays slow.
const HELLO_SPACING_NS := 1_000 * Config.MS
## After so many sends (8 s) people are told that nobody answers.
const NO_ANSWER_SENDS := 6
## A HELLO that the gateway knows is answered only while its link is half-open. When the WELCOME was lost and the link
## replaced, the same bytes would be dropped for ever, so after a minute of them a new HELLO is made.
const RENEW_SENDS := 16
## An app that stops while a HELLO waits goes on asking for this long: the gateway may have made a link by it, and without
## a BYE on that link its session could not be closed in order.
const LEAVE_NS := 5_000 * Config.MS

## Handshake key; it changes when the device's key does.
var k_hs: PackedByteArray
## The HELLO that waits; null while nothing is asked for.
var pending: Handshake
## When a device that is welcomed as waiting, refused or reset tries again; NEVER for not at all.
var retry_ns := Config.NEVER
## The counter that was used last.
var seq := -1

var _config: Config
var _hash: Hash
var _last_ns := 0
var _has_last := false


func _init(config: Config, hash: Hash) -> void:
	_config = config
	_hash = hash
	k_hs = hash.handshake_key(config.key)
	seq = config.hello_seq


## Sends a new HELLO; it takes the place of one that waits.
func begin(cause: String, links: PackedInt64Array, now_ns: int, out: Array) -> void:
	seq += 1
	_last_ns = now_ns
	_has_last = true
	retry_ns = Config.NEVER
	pending = Handshake.new(_config, _hash, k_hs, seq, links, cause, now_ns)
	out.append(Effects.Persist.new(seq))
	out.append(Effects.Send.new(pending.packet, true))


## Sends the HELLO that waits again if it is due: the same bytes, or a new one after long enough.
func again(links: PackedInt64Array, now_ns: int, out: Array) -> void:
	if pending == null:
		return
	if pending.cause == "leave" and now_ns >= pending.until_ns:
		pending = null
		return
	if now_ns < pending.next_ns:
		return
	if pending.sends >= RENEW_SENDS:
		begin(pending.cause, links, now_ns, out)
		pending.sends = NO_ANSWER_SENDS  # nobody has answered so far: the waits stay long
		pending.next_ns = now_ns + Handshake.HELLO_MOST_NS
		return
	pending.again(now_ns)
	out.append(Effects.Send.new(pending.packet, true))


## The app has stopped: what waits only makes sure that no link stays without its BYE.
func leave(now_ns: int) -> void:
	if pending == null or pending.cause in ["ask", "finished", "leave"]:
		return
	if is_unanswered():
		pending = null  # nobody is there: nothing to take leave of
		return
	pending.cause = "leave"
	pending.until_ns = now_ns + LEAVE_NS


## Plans a new HELLO.
func retry_in(wait_ns: int, now_ns: int) -> void:
	retry_ns = now_ns + wait_ns


## Plans a new HELLO at once, unless the last was a moment ago.
func retry_soon(now_ns: int) -> void:
	retry_ns = maxi(now_ns, _last_ns + HELLO_SPACING_NS) if _has_last else now_ns


## Whether people should be told that nobody answers.
func is_unanswered() -> bool:
	return pending != null and pending.sends >= NO_ANSWER_SENDS
