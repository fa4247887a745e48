extends RefCounted
## Clock probes: when to send one, and what the replies say. Source: SPEC, "Clock probes".
##
## Every 2 s a burst of 8 probes 64 ms apart; the fastest round trip wins, because what delays a packet can only add to
## it.

const Bodies := preload("../wire/bodies.gd")
const Config := preload("config.gd")
const Kinds := preload("../wire/kinds.gd")
const Records := preload("../wire/records.gd")

const BURST_PROBES := 8
## Fewer replies say that the network is in no state to be measured.
const BURST_MIN_REPLIES := 6
const BURST_EVERY_NS := 2_000 * Config.MS
const PROBE_EVERY_NS := 64 * Config.MS
## A slower round trip tells less than the burst before it did.
const RTT_MAX_NS := 128 * Config.MS
## A waiting link: below the 30 s after which home routers forget a UDP flow.
const KEEPALIVE_EVERY_NS := 2_000 * Config.MS
const SOURCE_SYNC := 1
## No clock is 73 years from its start; every sum and difference of four times then fits.
const CLOCK_MOST_NS := (1 << 61) - 1


## One measured exchange, in nanoseconds: device clock at the send and the return, gateway clock in between.
class Reading:
	extends RefCounted
	var t1_ns := 0
	var t2_ns := 0
	var t3_ns := 0
	var t4_ns := 0
	## Round trip without the gateway's own time.
	var rtt_ns := 0
	## Gateway clock minus device clock.
	var offset_ns := 0
	## Half the round trip, rounded up: the offset cannot be wrong by more.
	var uncertainty_ns := 0

	func _init(t1: int, t2: int, t3: int, t4: int) -> void:
		t1_ns = t1
		t2_ns = t2
		t3_ns = t3
		t4_ns = t4
		rtt_ns = (t4 - t1) - (t3 - t2)
		offset_ns = ((t2 - t1) + (t3 - t4)) >> 1  # rounded down, as a division that floors
		uncertainty_ns = (rtt_ns + 1) >> 1

	## Whether the numbers can be true and fit their record.
	func is_sane() -> bool:
		return (
			0 <= t2_ns
			and t2_ns <= t3_ns
			and t3_ns <= CLOCK_MOST_NS
			and absi(t1_ns) <= CLOCK_MOST_NS
			and 0 <= rtt_ns
			and rtt_ns <= RTT_MAX_NS
		)

	## The record of the clock kind.
	func sample() -> PackedByteArray:
		var made := Records.buffer(Kinds.CLOCK)
		Records.encode_clock(
			made, 0, t1_ns, t2_ns, t3_ns, t4_ns, offset_ns, uncertainty_ns, SOURCE_SYNC
		)
		return made


## When [method poll] has something to do.
var next_ns := 0
## The result of a burst that is over; [method poll] sets it, and null otherwise.
var result: Reading

var _measure := false
var _open: Dictionary = {}
var _readings: Array[Reading] = []
var _burst_ns := 0
var _left := BURST_PROBES


## The first probe is due at once; [param measure] is false for single probes that only keep the link alive.
func _init(now_ns: int, measure: bool) -> void:
	_measure = measure
	_burst_ns = now_ns
	next_ns = now_ns


## Does what is due: true when a probe with `t1_ns = now_ns` is to be sent.
func poll(now_ns: int) -> bool:
	result = null
	if now_ns < next_ns:
		return false
	if not _measure:
		next_ns = now_ns + KEEPALIVE_EVERY_NS
		return true
	if _left:
		_left -= 1
		_open[now_ns] = true
		# From now, not from when it should have been: a thread that is late must not send the rest at once.
		next_ns = now_ns + (PROBE_EVERY_NS if _left else RTT_MAX_NS)
		return true
	if _readings.size() >= BURST_MIN_REPLIES:
		result = _readings[0]
		for reading in _readings:
			if reading.rtt_ns < result.rtt_ns:
				result = reading
	_open.clear()
	_readings.clear()
	_left = BURST_PROBES
	_burst_ns = maxi(_burst_ns + BURST_EVERY_NS, now_ns)
	next_ns = _burst_ns
	return false


## A reply came; one that answers no open probe, or cannot be true, is passed over.
func reply(body: Bodies.ProbeReply, now_ns: int) -> void:
	if _open.erase(body.t1_ns):
		var reading := Reading.new(body.t1_ns, body.t2_ns, body.t3_ns, now_ns)
		if reading.is_sane():
			_readings.append(reading)
