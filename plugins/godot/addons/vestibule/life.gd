extends RefCounted
## When the app is away, and why: many signs of it come from the system, and each change is to be told once.
##
## While at least one cause holds, the app is away. A cause that is told twice counts once.

## The app was paused by the system (the headset's menu, sleep on standalone headsets).
const PAUSED := &"paused"
## The XR session is not shown (headset taken off, another app in front).
const HIDDEN := &"hidden"
## The window lost the focus; only if the project asks for it.
const UNFOCUSED := &"unfocused"

## Reason of BYE by cause; the first cause of an absence gives it.
const REASONS := {PAUSED: "pause", HIDDEN: "sleep", UNFOCUSED: "pause"}

## The app went away; told once for each absence.
signal left(reason: String)
## The app is back; told once for each absence.
signal came_back

var _causes: Dictionary = {}
var _shown := false


## Whether at least one cause holds.
func is_away() -> bool:
	return not _causes.is_empty()


## A cause begins to hold.
func away(cause: StringName) -> void:
	var first := _causes.is_empty()
	_causes[cause] = true
	if first:
		left.emit(REASONS[cause])


## A cause holds no longer.
func back(cause: StringName) -> void:
	if _causes.erase(cause) and _causes.is_empty():
		came_back.emit()


## Listens to the signals of an OpenXR session; harmless with any other interface.
func follow(xr: XRInterface) -> void:
	if xr == null or not xr.has_signal("session_stopping"):
		return
	# Visible without focus is the system's menu over the app: the person still moves, and capture goes on.
	_connect(xr, "session_stopping", away.bind(HIDDEN))
	_connect(xr, "session_loss_pending", away.bind(HIDDEN))
	_connect(xr, "session_synchronized", _on_synchronized)
	_connect(xr, "session_visible", _on_visible)
	_connect(xr, "session_focussed", _on_visible)


func _on_visible() -> void:
	_shown = true
	back(HIDDEN)


## Runs, and is not shown: on the way in nothing was shown yet, and that is no absence.
func _on_synchronized() -> void:
	if _shown:
		away(HIDDEN)


static func _connect(xr: XRInterface, name: String, callable: Callable) -> void:
	if xr.has_signal(name) and not xr.is_connected(name, callable):
		xr.connect(name, callable)
