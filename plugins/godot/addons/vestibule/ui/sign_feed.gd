extends Node
## Tells a sign what to show: the recorder's state, and a text of the gateway for as long as it stays.

## How long a text of the gateway stays.
const TEXT_MS := 15_000
const NOT_ENABLED := {"state": "not_recording", "behind_s": 0, "words": "The addon Vestibule is not enabled."}

## There is something else to show. [param text] is empty while the gateway says nothing.
signal shown(state: Dictionary, text: String)

## The autoload; by name, so that signs also load where the addon is not enabled.
var _vestibule: Node
var _text := ""
var _text_until := 0


func _ready() -> void:
	_vestibule = get_tree().root.get_node_or_null(^"Vestibule")
	if _vestibule == null:
		shown.emit(NOT_ENABLED, "")
		return
	_vestibule.connect("state_changed", _tell)
	_vestibule.connect("text_received", _on_text)
	_tell(_vestibule.call("state"))


func _process(_delta: float) -> void:
	if not _text.is_empty() and Time.get_ticks_msec() >= _text_until:
		_text = ""
		_tell(_vestibule.call("state"))


func _tell(state: Dictionary) -> void:
	shown.emit(state, _text)


func _on_text(text: String) -> void:
	_text = text
	_text_until = Time.get_ticks_msec() + TEXT_MS
	_tell(_vestibule.call("state"))
