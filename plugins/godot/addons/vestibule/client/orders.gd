extends RefCounted
## What passes between the app's thread and the recorder's: orders and samples one way, events and figures the other.
##
## Everything is bounded, and every call holds one lock for a few appends. A full sample queue drops the newest: the
## samples keep their numbers and are counted, since a loss must show.

## Most samples, and most bytes of them, that wait for the recorder's thread: half a second of everything a headset has.
const MAX_SAMPLES := 4096
const MAX_BYTES := 2 * 1024 * 1024
## Most orders and events that wait; an app that never polls loses the oldest events.
const MAX_ORDERS := 64
const MAX_EVENTS := 256

var _lock := Mutex.new()
var _orders: Array = []
var _events: Array = []
var _keys := PackedInt32Array()  # stream, kind and count of each sample, one after another
var _records: Array[PackedByteArray] = []
var _bytes := 0
var _missed: Dictionary = {}  # Vector2i(stream, kind) -> samples that found the queue full
var _missed_total := 0
var _recording := false
var _recordings := 0
var _permitted: Dictionary = {}
var _state: Dictionary = {"state": "not_recording", "reason": "not_started", "behind_s": 0, "words": ""}
var _status: Dictionary = {}

# The app's side.


## Gives an order to the thread: an Array of a word and its arguments. Beyond [constant MAX_ORDERS] only the end counts.
func give(order: Array) -> void:
	_lock.lock()
	if _orders.size() < MAX_ORDERS or order[0] == &"close":
		_orders.append(order)
	_lock.unlock()


## Takes samples in; see `client.gd`.
func capture(stream: int, kind: int, record: PackedByteArray, count: int) -> void:
	# Arrays of bytes are shared by reference: without the copy the next frame's values would stand in this record.
	var copy := record.duplicate()
	_lock.lock()
	if _records.size() >= MAX_SAMPLES or _bytes + copy.size() > MAX_BYTES or not _missed.is_empty():
		# Once one was dropped, all that follow are, until the thread has taken what waits: numbers stay in order.
		var key := Vector2i(stream, kind)
		_missed[key] = int(_missed.get(key, 0)) + count
		_missed_total += count
	else:
		_keys.append(stream)
		_keys.append(kind)
		_keys.append(count)
		_records.append(copy)
		_bytes += copy.size()
	_lock.unlock()


## How many samples and bytes may be captured now before the queue is full.
func room() -> Vector2i:
	_lock.lock()
	var left := Vector2i(MAX_SAMPLES - _records.size(), MAX_BYTES - _bytes)
	_lock.unlock()
	return left


## Events since the last call, oldest first.
func poll() -> Array:
	_lock.lock()
	var events := _events
	if not events.is_empty():
		_events = []
	_lock.unlock()
	return events


## A copy of what a person should see.
func state() -> Dictionary:
	_lock.lock()
	var copy := _state.duplicate()
	_lock.unlock()
	return copy


## A copy of the figures.
func status() -> Dictionary:
	_lock.lock()
	var copy := _status.duplicate(true)
	copy.merge(_state, true)
	copy["queue_dropped"] = _missed_total
	_lock.unlock()
	return copy


## Whether samples are taken now.
func recording() -> bool:
	_lock.lock()
	var is_on := _recording
	_lock.unlock()
	return is_on


## How many links have recorded so far.
func recordings() -> int:
	_lock.lock()
	var count := _recordings
	_lock.unlock()
	return count


## Whether a kind is permitted now.
func permits(kind: int) -> bool:
	_lock.lock()
	var has := _recording and _permitted.has(kind)
	_lock.unlock()
	return has

# The recorder's side.


## Takes all orders that wait.
func take_orders() -> Array:
	_lock.lock()
	var orders := _orders
	if not orders.is_empty():
		_orders = []
	_lock.unlock()
	return orders


## Takes all samples that wait into [param taken]: `keys`, `records`, and `missed` for what was dropped after them.
## Returns false when there is nothing.
func take_samples(taken: Taken) -> bool:
	_lock.lock()
	var any := not _records.is_empty() or not _missed.is_empty()
	if any:
		taken.keys = _keys
		taken.records = _records
		taken.missed = _missed
		_keys = PackedInt32Array()
		_records = []
		_missed = {}
		_bytes = 0
	_lock.unlock()
	return any


## Adds an event; beyond [constant MAX_EVENTS] the oldest is given up.
func tell(event: Dictionary) -> void:
	_lock.lock()
	if _events.size() >= MAX_EVENTS:
		_events.pop_front()
	_events.append(event)
	_lock.unlock()


## Publishes what a person should see, and tells it as an event.
func show(shown: Dictionary) -> void:
	_lock.lock()
	_state = shown
	_lock.unlock()
	var event := shown.duplicate()
	event["event"] = "state"
	tell(event)


## Publishes whether, and which kinds of, samples are taken; [param permitted] has the kinds as keys. Called once for each
## link that begins to record.
func allow(is_on: bool, permitted: Dictionary) -> void:
	_lock.lock()
	_recording = is_on
	if is_on:
		_recordings += 1
	_permitted = permitted
	_lock.unlock()


## Publishes figures.
func publish(figures: Dictionary) -> void:
	_lock.lock()
	_status = figures
	_lock.unlock()


## What [method take_samples] fills.
class Taken:
	extends RefCounted
	var keys: PackedInt32Array
	var records: Array[PackedByteArray]
	var missed: Dictionary
