extends RefCounted
## Samples to frames, frames to packets: numbering, filling, and how long a sample waits for company.
##
## Numbers run from 0 in each stream of a session and go on over its links. Sizes are computed, not tried: a body is
## encoded once.

const Bodies := preload("../wire/bodies.gd")
const Config := preload("config.gd")
const Frame := preload("../wire/frame.gd")
const Kinds := preload("../wire/kinds.gd")

## Samples a frame, so that one full frame and its total fill a datagram; the rest: what fits, at most OTHER_SAMPLES.
const FRAME_SAMPLES: Dictionary = {Kinds.POSE: 16, Kinds.GAZE: 10, Kinds.HAPTIC: 32}
const OTHER_SAMPLES := 32
const MAX_FRAMES := 64
## A floor, and a total, below 2^32; counted in full, since a total may grow until its packet is sealed.
const FLOOR_BYTES := 5
const TOTAL_BYTES := 5
const BIN_BYTES := 3
## Up to here the length of an array costs no byte of its own.
const SHORT_ARRAY := 15
const LONG_ARRAY_BYTES := 2
## Sessions whose numbers are remembered.
const MAX_SESSIONS := 16
## A packet with less than a quarter of its room left goes at once.
const WORTH_WAITING := 4


## The streams of one session in this run: kind and samples captured, by stream number.
class Streams:
	extends RefCounted
	var kinds: Dictionary = {}
	var totals: Dictionary = {}


## A frame that is being filled.
class Open:
	extends RefCounted
	var frame: Frame
	var size := 0
	var capacity := 0
	var opened_ns := 0


## The streams of the session that is being recorded.
var streams := Streams.new()
## When the oldest sample has waited long enough; NEVER while there is none.
var due_ns := Config.NEVER
## Why [method add] or [method skip] took nothing: `kind`, `stream`, `stream_kind`, `sample_size`; "" when it did.
var fault := ""

var _linger_ns := 0
var _room := 0
var _clock_stream := -1
var _open: Dictionary = {}
var _ready: Array[Frame] = []
var _ready_bytes := 0
var _ready_ns := 0
var _turn := 0
var _sessions: Dictionary = {}  # session -> Streams, the one entered last at the end


func _init(config: Config) -> void:
	_linger_ns = config.linger_ms * Config.MS
	_room = config.max_packet - 40 - (FLOOR_BYTES + 3)  # and three short arrays
	_clock_stream = config.clock_stream if config.probes else -1


## Records a session from now on; nothing is open. One that was recorded before goes on with its numbers.
func enter(session: PackedByteArray) -> void:
	var name := session.hex_encode()
	streams = _sessions.get(name)
	if streams == null:
		streams = Streams.new()
		if _clock_stream >= 0:
			# Taken from the start, so that an app cannot leave the clock without a stream.
			streams.kinds[_clock_stream] = Kinds.CLOCK
	_sessions.erase(name)
	_sessions[name] = streams
	if _sessions.size() > MAX_SESSIONS:
		_sessions.erase(_sessions.keys()[0])


## Samples captured by stream, of the session recorded last.
func totals() -> Dictionary:
	return streams.totals.duplicate()


## Takes samples in, and puts the frames of packets that are full into [param packets], an Array for each packet.
## False when they are not taken: see [member fault].
func add(
	stream: int, kind: int, samples: PackedByteArray, count: int, now_ns: int, packets: Array[Array]
) -> bool:
	var open: Open = _open.get(stream)
	if open == null or open.frame.kind != kind or samples.size() != count * open.size or count < 1:
		var size := _check(stream, kind, samples.size(), count)
		if fault:
			return false
		open = _start(stream, kind, size, now_ns)
	var offset := 0
	while true:
		var frame := open.frame
		var room := open.capacity - frame.count
		var taken := mini(room, count)
		var bytes := taken * open.size
		frame.samples.append_array(samples if taken == count and offset == 0 else samples.slice(offset, offset + bytes))
		frame.count += taken
		streams.totals[stream] += taken
		if taken < room:
			return true
		count -= taken
		offset += bytes
		_close(open, packets)
		if count == 0:
			return true
		open = _start(stream, kind, open.size, now_ns)
	return true


## Samples were captured that never came here: they get their numbers, and nothing else. False as [method add].
func skip(stream: int, kind: int, count: int, packets: Array[Array]) -> bool:
	var is_variable := Kinds.VARIABLE.has(kind)
	_check(stream, kind, Kinds.BYTES.get(kind, 0) * (1 if is_variable else count), 1 if is_variable else count)
	if fault:
		return false
	# A frame has its samples in one piece, so the one that is open ends before the gap.
	if _open.has(stream):
		_close(_open[stream], packets)
	streams.kinds[stream] = kind
	streams.totals[stream] = streams.totals.get(stream, 0) + count
	return true


## Closes everything that is open: the linger time is over, or the link ends.
func flush() -> Array[Array]:
	var packets: Array[Array] = []
	for open: Open in _open.values():
		_close(open, packets)
	_pack(packets)
	return packets


## Throws away what is not sealed: its link is gone. Returns how many samples that were.
func clear() -> int:
	var gone := waiting_samples()
	_open.clear()
	_ready = []
	_ready_bytes = 0
	due_ns = Config.NEVER
	return gone


## Samples captured and not sealed yet.
func waiting_samples() -> int:
	var sum := 0
	for frame in _ready:
		sum += frame.count
	for stream: int in _open:
		sum += _open[stream].frame.count
	return sum


## The body of DATA: the frames, the totals of their streams, and that of one other stream in turn.
func body(frames: Array[Frame], floor_seq: int) -> PackedByteArray:
	var told: Dictionary = {}
	for frame in frames:
		told[frame.stream] = streams.totals[frame.stream]
	# All totals in every packet would cost more than the frames of small packets; in turn, each is told again within
	# as many packets as there are streams, and BYE tells them all.
	var others := PackedInt32Array()
	for stream: int in streams.totals:
		if not told.has(stream):
			others.append(stream)
	if others.size():
		var other := others[_turn % others.size()]
		var size := _total_bytes(other, streams.totals[other])
		for frame in frames:
			size += frame.byte_count() + _total_bytes(frame.stream, told[frame.stream])
		size += LONG_ARRAY_BYTES if frames.size() > SHORT_ARRAY else 0
		size += LONG_ARRAY_BYTES if told.size() >= SHORT_ARRAY else 0
		if size <= _room:
			told[other] = streams.totals[other]
			_turn += 1
	return Bodies.data(floor_seq, told, frames)


## Checks what a caller gave, and tells the size of one record; sets [member fault].
func _check(stream: int, kind: int, bytes: int, count: int) -> int:
	fault = ""
	var size: int = Kinds.BYTES.get(kind, 0)
	var is_variable := Kinds.VARIABLE.has(kind)
	if size == 0:
		fault = "kind"
		return 0
	if not streams.kinds.has(stream):
		if stream < 0 or stream > Config.U16_MAX or streams.kinds.size() >= Bodies.MAX_TOTALS:
			fault = "stream"
	elif streams.kinds[stream] != kind:
		fault = "stream_kind"
	if is_variable and bytes < size:
		fault = fault if fault else "sample_size"
	size = bytes if is_variable else size
	if fault == "" and (count < 1 or bytes != count * size or is_variable and count != 1):
		fault = "sample_size"
	if fault == "" and _capacity(stream, kind, size) < 1:
		fault = "sample_size"
	return size


func _capacity(stream: int, kind: int, size: int) -> int:
	var first: int = streams.totals.get(stream, 0)
	# Counted with room to grow: a size that fits at the first sample must fit at the millionth.
	var head := 1 + Frame.int_bytes(stream) + Frame.int_bytes(kind) + maxi(TOTAL_BYTES, Frame.int_bytes(first)) + BIN_BYTES
	@warning_ignore("integer_division")
	var fits := (_room - head - _total_bytes(stream, first + OTHER_SAMPLES)) / size
	return mini(fits, 1 if Kinds.VARIABLE.has(kind) else FRAME_SAMPLES.get(kind, OTHER_SAMPLES))


func _start(stream: int, kind: int, size: int, now_ns: int) -> Open:
	streams.kinds[stream] = kind
	var first: int = streams.totals.get(stream, 0)
	streams.totals[stream] = first
	var open := Open.new()
	open.frame = Frame.new(stream, kind, first, 0, PackedByteArray())
	open.size = size
	open.capacity = _capacity(stream, kind, size)
	open.opened_ns = now_ns
	_open[stream] = open
	if due_ns == Config.NEVER:
		due_ns = now_ns + _linger_ns
	return open


## Puts the frame into the packet, which is given out when it is full. A packet has one frame of a stream: a receipt
## names refused frames by packet and stream.
func _close(open: Open, packets: Array[Array]) -> void:
	var made := open.frame
	_open.erase(made.stream)
	for ready in _ready:
		if ready.stream == made.stream:
			if _lengthen(ready, made):
				_give_if_full(packets)
				return
			_pack(packets)
			break
	var size := made.byte_count() + _total_bytes(made.stream, streams.totals[made.stream])
	# Room for long arrays is kept from the 15th frame on; totals of other streams yield to frames.
	var long := 2 * LONG_ARRAY_BYTES if _ready.size() >= SHORT_ARRAY else 0
	if _ready.size() and (_ready_bytes + size + long > _room or _ready.size() == MAX_FRAMES):
		_pack(packets)
	if _ready.is_empty():
		_ready_ns = open.opened_ns
	_ready.append(made)
	_ready_bytes += size
	_give_if_full(packets)


## Puts a frame's samples behind those of the frame of its stream that waits; false where they do not fit or follow.
func _lengthen(ready: Frame, more: Frame) -> bool:
	var long := 2 * LONG_ARRAY_BYTES if _ready.size() > SHORT_ARRAY else 0
	if (
		Kinds.VARIABLE.has(more.kind)
		or ready.first + ready.count != more.first
		or _ready_bytes + more.samples.size() + long > _room
	):
		return false
	ready.samples.append_array(more.samples)
	ready.count += more.count
	_ready_bytes += more.samples.size()
	return true


func _give_if_full(packets: Array[Array]) -> void:
	@warning_ignore("integer_division")
	if _room - _ready_bytes < _room / WORTH_WAITING:
		_pack(packets)
	else:
		_set_due()


func _pack(packets: Array[Array]) -> void:
	if _ready.size():
		packets.append(_ready)
		_ready = []
		_ready_bytes = 0
	_set_due()


func _set_due() -> void:
	var oldest: int = _ready_ns if _ready.size() else Config.NEVER
	for stream: int in _open:
		oldest = mini(oldest, _open[stream].opened_ns)
	due_ns = oldest + _linger_ns if oldest != Config.NEVER else Config.NEVER


static func _total_bytes(stream: int, total: int) -> int:
	return 1 + Frame.int_bytes(stream) + maxi(TOTAL_BYTES, Frame.int_bytes(total))
