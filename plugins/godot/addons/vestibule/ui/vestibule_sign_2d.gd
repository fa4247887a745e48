class_name VestibuleSign2D
extends PanelContainer
## The state on a flat screen: for staff who look at the mirror window, and for apps without a headset.

const SignText := preload("sign_text.gd")
const GROUP := &"vestibule_sign"

var _title := Label.new()
var _words := Label.new()
## The autoload; by name, so that these nodes also load where the addon is not enabled.
var _vestibule: Node
var _text := ""
var _text_until := 0


func _ready() -> void:
	add_to_group(GROUP)
	mouse_filter = Control.MOUSE_FILTER_IGNORE
	custom_minimum_size = Vector2(320.0, 0.0)
	var column := VBoxContainer.new()
	add_child(column)
	column.add_child(_title)
	column.add_child(_words)
	_words.autowrap_mode = TextServer.AUTOWRAP_WORD_SMART
	_words.custom_minimum_size = Vector2(300.0, 0.0)
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
	_title.add_theme_color_override(&"font_color", SignText.color(shown))
	_words.text = _text if not _text.is_empty() else str(shown["words"])


func _on_text(text: String) -> void:
	_text = text
	_text_until = Time.get_ticks_msec() + SignText.TEXT_MS
	_show(_vestibule.call("state"))
