extends RefCounted
## How fast a backlog may drain: at most twice the live rate, never in a burst, so that live data is not starved.
##
## A token bucket: a resend takes a token, live packets take none and go first. Source: SPEC, "Delivery".

const SECOND := 1_000_000_000
const RESENDS_PER_LIVE := 2.0
## While recording: a stream of rare events must not stop its own resends.
const LEAST_PER_S := 2.0
## With no live data to starve; about what one headset sends anyway.
const DRAIN_PER_S := 100.0
## Tokens are kept for this long: a thread that wakes late by a timer's grain loses no rate.
const BURST_S := 0.02
## A gap this long between live packets says nothing about their rate.
const PAUSE_NS := 5 * SECOND

## Whether live packets are being made; set by the machine.
var recording := false

var _live_per_s := 0.0
var _window_ns := 0
var _has_window := false
var _count := 0
var _tokens := 1.0
var _filled_ns := 0
var _was_filled := false


## Resends a second at present. The last live rate goes on holding after the end of recording.
func per_s() -> float:
	return maxf(RESENDS_PER_LIVE * _live_per_s, LEAST_PER_S if recording else DRAIN_PER_S)


## A live packet is being sent.
func live(now_ns: int) -> void:
	if not _has_window or now_ns - _window_ns >= SECOND:
		if _has_window and now_ns - _window_ns < PAUSE_NS:
			_fill(now_ns)  # what was earned so far was earned at the old rate
			_live_per_s = float(_count) * SECOND / (now_ns - _window_ns)
		_window_ns = now_ns
		_has_window = true
		_count = 0
	_count += 1


## Takes a token for one resend; false when there is none yet.
func take(now_ns: int) -> bool:
	_fill(now_ns)
	if _tokens < 1.0:
		return false
	_tokens -= 1.0
	return true


## When the next token is there, later than [param now_ns] unless there is one.
func ready_at(now_ns: int) -> int:
	_fill(now_ns)
	if _tokens >= 1.0:
		return now_ns
	return now_ns + int((1.0 - _tokens) * SECOND / per_s()) + 1


func _fill(now_ns: int) -> void:
	# A device's clock starts anywhere: only from its first word on is there a time that passed.
	var passed_ns := now_ns - _filled_ns if _was_filled else 0
	var rate := per_s()
	_tokens = minf(maxf(1.0, rate * BURST_S), _tokens + passed_ns * rate / SECOND)
	_filled_ns = now_ns
	_was_filled = true
