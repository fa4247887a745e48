extends RefCounted
## What the device machine wants done, in the order given.
##
## [Persist] and [PersistKey] must be done before the [Send] that follows them: a HELLO counter that is sent before it
## is kept would be used twice after a crash, and the gateway would drop the second (SPEC, "Handshake").


## Send a packet.
class Send:
	extends RefCounted
	var packet: PackedByteArray
	## True for HELLO.
	var hello := false
	## True for a clock probe, whose reply should be looked for at once.
	var probe := false

	func _init(bytes: PackedByteArray, is_hello: bool = false, is_probe: bool = false) -> void:
		packet = bytes
		hello = is_hello
		probe = is_probe


## Send a packet that is in the spool only; if that cannot be done, tell the machine with `spool_lost`.
class SendKept:
	extends RefCounted
	var link := 0
	var seq := 0

	func _init(of_link: int, of_seq: int) -> void:
		link = of_link
		seq = of_seq


## Make the HELLO counter durable.
class Persist:
	extends RefCounted
	var hello_seq := 0

	func _init(counter: int) -> void:
		hello_seq = counter


## Make a new K_dev durable.
class PersistKey:
	extends RefCounted
	var key: PackedByteArray

	func _init(bytes: PackedByteArray) -> void:
		key = bytes


## What a person should see has changed: `recording`, `waiting`, `behind`, `not_recording`, and why.
class Changed:
	extends RefCounted
	var state := ""
	var reason := ""
	## Age in seconds of the oldest packet without a receipt, in steps of 5, while `behind`; else 0.
	var behind_s := 0

	func _init(is_now: String, why: String, seconds: int = 0) -> void:
		state = is_now
		reason = why
		behind_s = seconds

	func same(other: Changed) -> bool:
		return state == other.state and reason == other.reason and behind_s == other.behind_s


## The gateway asks the app for something, within the limits of SPEC, "Commands".
class Commanded:
	extends RefCounted
	var verb := ""
	var args: Array

	func _init(word: String, arguments: Array) -> void:
		verb = word
		args = arguments


## Write a packet to the spool; [member link] is the link object, whose keys stand in the file's head.
class Keep:
	extends RefCounted
	var link: RefCounted
	var seq := 0
	var samples := 0
	var packet: PackedByteArray

	func _init(of_link: RefCounted, of_seq: int, count: int, bytes: PackedByteArray) -> void:
		link = of_link
		seq = of_seq
		samples = count
		packet = bytes


## No packet from [member first] to [member last] of a link is needed in the spool any more.
class Settled:
	extends RefCounted
	var link := 0
	var first := 0
	var last := 0

	func _init(of_link: int, from: int, to: int) -> void:
		link = of_link
		first = from
		last = to


## A link is forgotten: nothing of it is needed in the spool any more.
class Dropped:
	extends RefCounted
	var link := 0

	func _init(of_link: int) -> void:
		link = of_link
