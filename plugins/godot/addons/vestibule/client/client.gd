extends RefCounted
## The recorder as an app sees it: pairing, start and stop, capture, what to show.
##
## All work (protocol, keys, socket, files) is done by one thread of its own. Every call here returns at once, except
## [method close], which waits for as long as it is told. Call everything from one thread, the main one.
## What the thread has to say comes out of [method poll], once a frame.

const Orders := preload("orders.gd")
const Words := preload("words.gd")
const Worker := preload("worker.gd")

var _orders: Orders
var _worker: Worker
var _thread: Thread
var _clock_ns: Callable


## Makes the recorder and starts its thread; nothing is sent before [method start] or [method pair].
##
## [param options] holds, all optional: `host` (String) and `port` (int) of the gateway, which go before those that a
## pairing of an earlier start left (a pairing or file of this start goes before both), `watch` (folder in which
## `vestibule.json` may be laid; "" for none), `name` (of the device, for staff), `spool` (bool, false), `spool_bytes`,
## `ring_bytes`, `ring_packets`, `linger_ms`, `silence_ms`, `wait_retry_ms`, `resend_first_ms`, `resend_most_ms`,
## `versions` (Array of int), `commands` (Array of verbs that the app carries out: `haptic`, `text`, `marker`),
## `targets` (Array of haptic targets, 1 left and 2 right). Defaults are those of `device/config.gd`.
## [param private_dir] is a folder that only this app can read (`user://...`); identity and spool stand in it.
## [param clock_ns] gives the time of capture in nanoseconds, monotonic; it is called from both threads. An empty
## Callable takes `Time.get_ticks_usec() * 1000`.
func _init(options: Dictionary, private_dir: String, clock_ns: Callable = Callable()) -> void:
	_clock_ns = clock_ns if clock_ns.is_valid() else func() -> int: return Time.get_ticks_usec() * 1000
	_orders = Orders.new()
	_worker = Worker.new(options.duplicate(true), private_dir, _clock_ns, _orders)
	_thread = Thread.new()
	_thread.start(_worker.run)


## The time of the device in nanoseconds: what records are to be stamped with.
func now_ns() -> int:
	return _clock_ns.call()


## Begins a pairing. [param text] is what a person typed: a code (26 letters and digits, spaces and hyphens allowed;
## host and port are then those that are known), or `vestibule://HOST:PORT/CODE`. [param device_name] is at most 64
## bytes. The end of it is an event of [method poll]: `paired`, or a state with its words.
func pair(text: String, device_name: String = "") -> void:
	_orders.give([&"pair", text, device_name])


## Takes a pair file or a key file, as `vestibule pair --out` and `vestibule device add --out` write them. The file
## stays where it is. What is wrong with it is told by an event `trouble`.
func take_file(path: String) -> void:
	_orders.give([&"take_file", path])


## The app wants to record. Without an identity the state says `not_paired`, and recording begins after the pairing.
func start() -> void:
	_orders.give([&"start"])


## Stops capturing for a while; [param reason] is `pause` or `sleep`. What was captured drains.
func pause(reason: String = "pause") -> void:
	_orders.give([&"pause", reason])


## Captures again after [method pause]: new socket, new link, the same session and sample numbers.
func resume() -> void:
	_orders.give([&"resume"])


## Stops capturing; [param reason] is `end`, `stop` or `error`. What was captured drains.
func stop(reason: String = "end") -> void:
	_orders.give([&"stop", reason])


## Ends the thread. With [param say_bye] the link is ended first and what is held drains for at most [param wait_ms];
## what then has no receipt is in the spool, if there is one, and lost if not. Without it nothing more is sealed or
## sent. The object is of no use afterwards.
func close(wait_ms: int = 500, say_bye: bool = true) -> void:
	if _thread == null or not _thread.is_started():
		return
	_orders.give([&"close", maxi(0, wait_ms), say_bye])
	_thread.wait_to_finish()


## What a person should see: `state` (`recording`, `waiting`, `behind`, `not_recording`), `reason` (a word, "" while
## recording), `behind_s` (int), `words` (a sentence).
func state() -> Dictionary:
	return _orders.state()


## Whether samples that are captured now are taken.
func is_recording() -> bool:
	return _orders.recording()


## How many links have recorded so far: when it grows, streams may begin anew and are to be described again.
func recordings() -> int:
	return _orders.recordings()


## Whether the session permits samples of a kind (number, `wire/kinds.gd`); false while nothing is recorded.
func permits(kind: int) -> bool:
	return _orders.permits(kind)


## Counters and sizes, at most a tenth of a second old: `state, reason, behind_s, words, link, links, held_packets,
## held_bytes, unsealed, captured, stored, refused, lost, withheld, unrecorded, sent, resent, ignored, faults, totals,
## queue_dropped, spool_packets, spool_bytes, heap_bytes, hello_seq, device, host, port, unsent, shed (packets that came faster than
## they can be looked at), clock_offset_ns,
## clock_uncertainty_ns`, and `earlier`: the same counters for samples of earlier runs, which the spool gave back. Empty
## but for the state before the first look.
func status() -> Dictionary:
	return _orders.status()


## What happened since the last call, oldest first, each a Dictionary with `event`:
## `state` (`state`, `reason`, `behind_s`, `words`), `command` (`verb` and `args`: `haptic` with target, amplitude,
## duration_ms, frequency_hz; `text` with text; `marker` with code, text), `paired` (`device`), `trouble` (`words`).
## A command is to be carried out, and recorded by the app; it is within the limits of SPEC, "Commands".
func poll() -> Array:
	return _orders.poll()


## Takes samples in; costs a copy and an append. [param stream] is 0..65534, [param kind] a number of `wire/kinds.gd`,
## [param record] holds [param count] records (`wire/records.gd`); it may be written again at once.
## When the queue to the thread is full the samples are counted, with their numbers, as lost by `overflow`.
func capture(stream: int, kind: int, record: PackedByteArray, count: int = 1) -> void:
	_orders.capture(stream, kind, record, count)


## How many samples, and how many bytes of them, may be captured now before the queue is full (x and y).
func room() -> Vector2i:
	return _orders.room()
