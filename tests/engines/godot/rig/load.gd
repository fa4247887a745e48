extends RefCounted
## Puts the addon under load: a full frame of capture each frame, and samples of the app's own until enough packets go.
##
## The samples are `info`, one a packet: kinds of variable size share no frame, and a packet has one frame of a stream.

const Person := preload("res://sample/person.gd")
const Outlet := preload("res://addons/vestibule/capture/outlet.gd")
const Records := preload("res://addons/vestibule/wire/records.gd")
const Kinds := preload("res://addons/vestibule/wire/kinds.gd")

const STREAM := 12
## Figures of the addon are up to a quarter of a second old; the load's end has to stand in them.
const SETTLE_S := 0.6
const POSE_SOURCES: Array[String] = ["head", "left controller", "right controller"]

var _id: int
var _packets_s: float
var _seconds: float
var _poses_only: bool
var _person := Person.new()
var _t := 0.0
var _owed := 0.0
var _sent_before := 0
var _settling := 0.0
var _us := PackedInt32Array()


func _init(order: Dictionary) -> void:
	_id = int(order["id"])
	_packets_s = order["packets_s"]
	_seconds = order["seconds"]
	_poses_only = order.get("kind", "pose") == "pose"
	_sent_before = int(Vestibule.status().get("sent", 0))
	Vestibule.capture_each_frame = false
	_person.enter()


## One frame; true when it is over.
func frame(delta: float) -> bool:
	if _t >= _seconds:
		_settling += delta
		if _settling >= SETTLE_S:
			_person.leave()
			Vestibule.capture_each_frame = true
			return true
		return false
	_t += delta
	_owed += delta * _packets_s
	_person.move(_t, delta)
	var begin := Time.get_ticks_usec()
	if _poses_only:
		var t_ns: int = Vestibule.outlet.now_ns()
		for source in POSE_SOURCES:
			Vestibule.capture.one(source, t_ns)
	else:
		Vestibule.capture_now()
	while _owed >= 1.0:
		_owed -= 1.0
		Vestibule.outlet.put(STREAM, Kinds.INFO, Records.info(Vestibule.outlet.now_ns(), "{}"), {})
	_us.append(Time.get_ticks_usec() - begin + Vestibule.frame_us)
	return false


## The answer to the order.
func answer() -> Dictionary:
	_us.sort()
	var frames := _us.size()
	return {
		"id": _id,
		"ok": true,
		"frames": frames,
		"packets": int(Vestibule.status().get("sent", 0)) - _sent_before,
		"capture_us": {
			"p50": _us[int(frames * 0.50)] if frames else 0,
			"p99": _us[int(frames * 0.99)] if frames else 0,
			"max": _us[frames - 1] if frames else 0,
		},
	}
