class_name VestibuleSign
extends Node3D
## The state for the person in the headset: a small sign low in the field of view. Lay it under an XRCamera3D.
##
## The addon adds one by itself where a scene has none (setting `vestibule/sign/show`).

const SignFeed := preload("sign_feed.gd")
const SignText := preload("sign_text.gd")
const GROUP := &"vestibule_sign"
const WIDTH := 44

## Whether the sentence below the line stays while everything is well.
@export var verbose := false

var _title := Label3D.new()
var _words := Label3D.new()


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
	var feed := SignFeed.new()
	feed.shown.connect(_show)
	add_child(feed)


func _show(shown: Dictionary, text: String) -> void:
	_title.text = SignText.title(shown)
	_title.modulate = SignText.color(shown)
	if not text.is_empty():
		_words.text = SignText.wrapped(text, WIDTH)
	elif shown["state"] == "recording" and not verbose:
		_words.text = ""
	else:
		_words.text = SignText.wrapped(shown["words"], WIDTH)
