extends Node3D
## The sample: a person without a headset, recorded. Shows state and counters, and takes a pairing code.
##
## It runs in a window (F5 in the editor), and without one: `godot --headless --path . -- --pair CODE_OR_URI`.

const Person := preload("person.gd")
## Figures of [method Vestibule.status], and what they are called in the window.
const FIGURES := {
	"captured": "samples captured",
	"stored": "samples stored by the gateway",
	"lost": "samples lost, and why",
	"refused": "samples refused, and why",
	"withheld": "not captured: kind not permitted",
	"sent": "packets sent",
	"resent": "packets sent again",
	"held_packets": "packets on their way",
}
const STREAMS := {
	0: "head", 1: "left controller", 2: "right controller", 3: "gaze", 4: "left hand", 5: "right hand", 6: "face",
	7: "haptics", 8: "buttons", 9: "markers", 10: "descriptions", 65535: "clock",
}
const REFRESH_S := 0.25

var _person := Person.new()
var _t := 0.0
var _since := 0.0
var _marks := 0
var _worst_us := 0

@onready var _names: Label = %Names
@onready var _values: Label = %Values
@onready var _mark: Button = %Mark
@onready var _buzz: Button = %Buzz
@onready var _dots: MultiMeshInstance3D = %Dots


func _ready() -> void:
	Engine.max_fps = 90  # a headset's rate; the sample needs no more
	_person.enter()
	_mark.pressed.connect(_on_mark)
	_buzz.pressed.connect(_on_buzz)
	Vestibule.open()
	# There is no actuator here; the sample says that it played, so that a haptic sample shows in the session.
	Vestibule.haptics.player = func(_target: int, _hz: float, _amplitude: float, _s: float) -> bool: return true
	Vestibule.state_changed.connect(
		func(shown: Dictionary) -> void: print("Vestibule: %s" % shown["words"])
	)
	var args := OS.get_cmdline_user_args()
	var at := args.find("--pair")
	if at >= 0 and at + 1 < args.size():
		Vestibule.pair(args[at + 1])
	Vestibule.start()


func _process(delta: float) -> void:
	_t += delta
	_person.move(_t, delta)
	_show_joints()
	_worst_us = maxi(_worst_us, Vestibule.frame_us)
	_since += delta
	if _since >= REFRESH_S:
		_since = 0.0
		_show_figures(Vestibule.status())
		_worst_us = 0


func _exit_tree() -> void:
	_person.leave()


func _on_mark() -> void:
	_marks += 1
	Vestibule.marker(_marks, "mark %d" % _marks)


func _on_buzz() -> void:
	Vestibule.haptic(2, 0.6, 120, 160.0)


func _show_figures(status: Dictionary) -> void:
	var names: Array[String] = []
	var values: Array[String] = []
	for figure: String in FIGURES:
		names.append(FIGURES[figure])
		values.append(_spelled(status.get(figure, "-")))
	var totals: Dictionary = status.get("totals", {})
	for stream: int in STREAMS:
		names.append(STREAMS[stream])
		values.append(str(totals.get(stream, 0)))
	names.append("addon, worst frame")
	values.append("%d us" % _worst_us)
	_names.text = "\n".join(names)
	_values.text = "\n".join(values)


## A number as it is; numbers by reason as "3 closed, 2 overflow", and 0 where there is none.
static func _spelled(figure: Variant) -> String:
	if figure is not Dictionary:
		return str(figure)
	var parts: Array[String] = []
	for why: Variant in figure:
		parts.append("%d %s" % [figure[why], why])
	return "0" if parts.is_empty() else ", ".join(parts)


func _show_joints() -> void:
	var mesh := _dots.multimesh
	for side in 2:
		for joint in Person.JOINTS:
			mesh.set_instance_transform(side * Person.JOINTS + joint, _person.hands[side].get_hand_joint_transform(joint))
	var skull := Transform3D(_person.head.get_pose(&"default").transform)
	mesh.set_instance_transform(2 * Person.JOINTS, skull.scaled_local(Vector3.ONE * 9.0))
