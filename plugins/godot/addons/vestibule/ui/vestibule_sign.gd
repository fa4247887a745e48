class_name VestibuleSign
extends Node3D
## The state for the person in the headset: a small sign low in the field of view. Lay it under an XRCamera3D.
##
## The addon adds one by itself where a scene has none (setting `vestibule/sign/show`).

const SignText := preload("sign_text.gd")
const GROUP := &"vestibule_sign"
const WIDTH := 44

## Whether the sentence below the line stays while everything is well.
@export var verbose := false

var _title := Label3D.new()
var _words := Label3D.new()
## The autoload; by name, so that these nodes also load where the addon is not enabled.
var _vestibule: Node
var _text := ""
var _text_until := 0


func _init() -> void:
	# Low and a metre away: seen at a glance, in the way of nothing.
	position = Vector3(0.0, -0.32, -1.0)
	rotation_degrees = Vector3(-15.0, 0.0, 0.0)


func _ready() -> void:
	add_to_group(GROUP)
	for label: Label3D in [_title, _words]:
		label.no_depth_test = true  # walls must not hide it
		label.render_priority = 10
		label.pixel_size = 0.0008
		label.outline_size = 8
		label.vertical_alignment = VERTICAL_ALIGNMENT_TOP
		add_child(label)
	_title.font_size = 40
	_words.font_size = 28
	_words.position = Vector3(0.0, -0.045, 0.0)
	_vestibule = get_tree().root.get_node_or_null(^"Vestibule")
	if _vestibule == null:
		_show({"state": "not_recording", "behind_s": 0, "words": "The addon Vestibule is not enabled."})
		return
	_vestibule.connect("state_changed", _show)
	_vestibule.connect("text_received", _on_text)
	_show(_vestibule.call("state"))


func _process(_delta: float) -> void:
	if not _text.is_empty() and Time.get_ticks_msec() >= _text_until:
		_text = ""
		_show(_vestibule.call("state"))


func _show(shown: Dictionary) -> void:
	_title.text = SignText.title(shown)
	_title.modulate = SignText.color(shown)
	if not _text.is_empty():
		_words.text = SignText.wrapped(_text, WIDTH)
	elif shown["state"] == "recording" and not verbose:
		_words.text = ""
	else:
		_words.text = SignText.wrapped(shown["words"], WIDTH)


func _on_text(text: String) -> void:
	_text = text
	_text_until = Time.get_ticks_msec() + SignText.TEXT_MS
	_show(_vestibule.call("state"))
