extends RefCounted
## Plays haptics through the XR runtime and records what was played: runtimes cannot be asked afterwards.

const Kinds := preload("../wire/kinds.gd")
const Records := preload("../wire/records.gd")
const Outlet := preload("../capture/outlet.gd")

const SIMPLE := 0
const STOP := 2
const SHORTEST_NS := -1
## Asked for where the shortest is wanted: runtimes lengthen it to what their actuator can do.
const SHORTEST_S := 0.001
const MAX_DURATION_MS := 10_000
const MIN_FREQUENCY_HZ := 1.0
const MAX_FREQUENCY_HZ := 1_000.0
const TRACKERS := {1: &"left_hand", 2: &"right_hand"}

## Name of the haptic action in the project's action map.
var action := "haptic"
## Plays a pulse: `func(target: int, frequency_hz: float, amplitude: float, duration_s: float) -> bool`, true if it was
## given to an actuator. An app whose vendor has better actuators puts its own here.
var player: Callable = _play

var _outlet: Outlet
var _about := {"targets": {"1": "left", "2": "right"}}
var _record := Records.buffer(Kinds.HAPTIC)


func _init(outlet: Outlet) -> void:
	_outlet = outlet


## Plays a pulse and records it. [param target] is 1 for left or 2 for right, [param amplitude] 0..1,
## [param duration_ms] 0..10,000 (0: the shortest), [param frequency_hz] 0 (the actuator chooses) or 1..1,000.
## Returns false, and records nothing, if a value is outside of that or nothing could play it.
func pulse(target: int, amplitude: float, duration_ms: int, frequency_hz: float, effect_id: int) -> bool:
	if not _is_within(target, amplitude, duration_ms, frequency_hz):
		push_warning(
			"Vestibule: haptic(%d, %s, %d ms, %s Hz) is outside of its limits and was not played; see the docs of haptic()."
			% [target, amplitude, duration_ms, frequency_hz]
		)
		return false
	var duration_s := duration_ms / 1000.0 if duration_ms > 0 else SHORTEST_S
	if not player.call(target, frequency_hz, amplitude, duration_s):
		return false
	var duration_ns := duration_ms * 1_000_000 if duration_ms > 0 else SHORTEST_NS
	played(target, SIMPLE, duration_ns, frequency_hz, amplitude, 0, effect_id)
	return true


## Records what the app played by itself; fields are those of a haptic record.
func played(
	target: int,
	event: int,
	duration_ns: int,
	frequency_hz: float,
	amplitude: float,
	actuator: int,
	effect_id: int
) -> void:
	if not _outlet.takes(Kinds.HAPTIC) or not is_finite(frequency_hz) or not is_finite(amplitude):
		return
	Records.encode_haptic(
		_record, 0, _outlet.now_ns(), duration_ns, frequency_hz, amplitude, target, event, actuator, effect_id
	)
	_outlet.put(Outlet.HAPTIC, Kinds.HAPTIC, _record, _about)


static func _is_within(target: int, amplitude: float, duration_ms: int, frequency_hz: float) -> bool:
	return (
		TRACKERS.has(target)
		and amplitude >= 0.0
		and amplitude <= 1.0
		and duration_ms >= 0
		and duration_ms <= MAX_DURATION_MS
		and (
			frequency_hz == 0.0 or (frequency_hz >= MIN_FREQUENCY_HZ and frequency_hz <= MAX_FREQUENCY_HZ)
		)
	)


func _play(target: int, frequency_hz: float, amplitude: float, duration_s: float) -> bool:
	var xr := XRServer.primary_interface
	if xr == null or not xr.is_initialized():
		return false
	xr.trigger_haptic_pulse(action, TRACKERS[target], frequency_hz, amplitude, duration_s, 0.0)
	return true
