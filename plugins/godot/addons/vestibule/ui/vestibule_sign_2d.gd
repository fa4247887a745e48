class_name VestibuleSign2D
extends PanelContainer
## The state on a flat screen: for staff who look at the mirror window, and for apps without a headset.

const SignFeed := preload("sign_feed.gd")
const SignText := preload("sign_text.gd")
const GROUP := &"vestibule_sign"

var _title := Label.new()
var _words := Label.new()


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
	var feed := SignFeed.new()
	feed.shown.connect(_show)
	add_child(feed)


func _show(shown: Dictionary, text: String) -> void:
	_title.text = SignText.title(shown)
	_title.add_theme_color_override(&"font_color", SignText.color(shown))
	_words.text = text if not text.is_empty() else str(shown["words"])
