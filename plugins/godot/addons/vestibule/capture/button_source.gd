extends RefCounted
## Buttons and axes of both controllers, from the signals of their trackers, each at the moment of its signal.
##
## `value` is 1 while pressed or touched and 0 afterwards; axes tell what they measured.

const Kinds := preload("../wire/kinds.gd")
const Records := preload("../wire/records.gd")
const Outlet := preload("outlet.gd")

const RELEASED := 0
const PRESSED := 1
const TOUCHED := 2
const VALUE := 3
const UNTOUCHED := 4

## Control by the name of the action, without its ending; names are those of Godot's action map.
const CONTROLS := {
	"trigger": 1,
	"grip": 2,
	"primary": 3,
	"secondary": 4,
	"ax": 5,
	"by": 6,
	"menu": 7,
	"system": 8,
	"thumbrest": 9,
}
const ENDINGS: Array[String] = ["_click", "_touch", "_button", "_force", "_value"]
const FIRST_OWN := 128
const LAST_OWN := 255
const HANDS: Array[StringName] = [&"left_hand", &"right_hand"]

var _outlet: Outlet
var _about := {"controls": {}}
var _record := Records.buffer(Kinds.BUTTON)
var _heard: Array[XRPositionalTracker] = [null, null]


func _init(outlet: Outlet) -> void:
	_outlet = outlet


## Listens to trackers that came since the last frame, and no longer to those that went.
func capture(_t_ns: int) -> bool:
	for side in HANDS.size():
		var tracker := XRServer.get_tracker(HANDS[side]) as XRPositionalTracker
		if tracker != _heard[side]:
			_hear(side, tracker)
	return true


## Listens to nobody any more.
func close() -> void:
	for side in HANDS.size():
		_hear(side, null)


## One event, as an app with input of its own may give it. [param control] is below 256; [param side] 1 left, 2 right.
func give(side: int, control: int, event: int, x: float, y: float) -> void:
	if not _outlet.takes(Kinds.BUTTON) or not is_finite(x) or not is_finite(y):
		return
	Records.encode_button(_record, 0, _outlet.now_ns(), side << 8 | control & 0xFF, event, x, y)
	_outlet.put(Outlet.BUTTONS, Kinds.BUTTON, _record, _about)


func _hear(side: int, tracker: XRPositionalTracker) -> void:
	var before := _heard[side]
	_heard[side] = tracker
	for each: Array in [
		["button_pressed", _on_pressed],
		["button_released", _on_released],
		["input_float_changed", _on_float],
		["input_vector2_changed", _on_vector],
	]:
		var callable: Callable = (each[1] as Callable).bind(side + 1)
		if before != null and before.is_connected(each[0], callable):
			before.disconnect(each[0], callable)
		if tracker != null:
			tracker.connect(each[0], callable)


func _on_pressed(name: String, side: int) -> void:
	give(side, _control(name), TOUCHED if name.ends_with("_touch") else PRESSED, 1.0, 0.0)


func _on_released(name: String, side: int) -> void:
	give(side, _control(name), UNTOUCHED if name.ends_with("_touch") else RELEASED, 0.0, 0.0)


func _on_float(name: String, value: float, side: int) -> void:
	give(side, _control(name), VALUE, value, 0.0)


func _on_vector(name: String, value: Vector2, side: int) -> void:
	give(side, _control(name), VALUE, value.x, value.y)


## The number of an action; one that is not known gets a number of its own, which the stream's description names.
func _control(name: String) -> int:
	var stem := name
	for ending in ENDINGS:
		stem = stem.trim_suffix(ending)
	if CONTROLS.has(stem):
		return CONTROLS[stem]
	var own: Dictionary = _about["controls"]
	if not own.has(name):
		own[name] = mini(FIRST_OWN + own.size(), LAST_OWN)
		_outlet.forget_one(Outlet.BUTTONS)
	return own[name]
