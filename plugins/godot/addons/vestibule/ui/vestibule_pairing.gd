class_name VestibulePairing
extends VBoxContainer
## Where a code is typed. Use it flat, or in a SubViewport on a panel in the headset; or call `Vestibule.pair()` from an
## input of your own, or lay a file (`docs/godot.md`).

const HINT := "A7KQ-...  or  vestibule://HOST:PORT/CODE"

## The autoload; by name, so that this node also loads where the addon is not enabled.
var _vestibule: Node
var _code := LineEdit.new()
var _pair := Button.new()
var _answer := Label.new()


func _ready() -> void:
	var title := Label.new()
	title.text = "Code that the gateway shows (vestibule pair)"
	_code.placeholder_text = HINT
	_code.custom_minimum_size = Vector2(420.0, 0.0)
	_code.text_submitted.connect(func(_text: String) -> void: _on_pair())
	_pair.text = "Pair"
	_pair.pressed.connect(_on_pair)
	_answer.autowrap_mode = TextServer.AUTOWRAP_WORD_SMART
	for child: Control in [title, _code, _pair, _answer]:
		add_child(child)
	_vestibule = get_tree().root.get_node_or_null(^"Vestibule")
	if _vestibule == null:
		_pair.disabled = true
		_answer.text = "The addon Vestibule is not enabled (Project > Project Settings > Plugins)."
		return
	_vestibule.connect("paired", _on_paired)
	_vestibule.connect("trouble", _on_trouble)
	_vestibule.connect("state_changed", _on_state)


func _on_pair() -> void:
	var text := _code.text.strip_edges()
	if text.is_empty():
		_answer.text = "Type the code first."
		return
	_answer.text = "Pairing ..."
	_vestibule.call("pair", text)


func _on_paired(device: int) -> void:
	_code.text = ""  # a code is a secret, if a short-lived one
	_answer.text = "Paired as device %d." % device


func _on_trouble(words: String) -> void:
	_answer.text = words


func _on_state(shown: Dictionary) -> void:
	if str(shown["reason"]).begins_with("pair"):
		_answer.text = shown["words"]
