extends RefCounted
## All sources, asked once a frame with one and the same time. A source that fails is left out; the others go on.

const Outlet := preload("outlet.gd")
const PoseSource := preload("pose_source.gd")
const HandSource := preload("hand_source.gd")
const GazeSource := preload("gaze_source.gd")
const FaceSource := preload("face_source.gd")
const BodySource := preload("body_source.gd")
const ButtonSource := preload("button_source.gd")

## A source that did not come to its end this often in a row is left out until the app starts again.
const FAILURES := 3

## Told of a source that is left out.
signal source_failed(name: String)

var buttons: ButtonSource
var gaze: GazeSource
var _sources: Dictionary = {}  # name -> source
var _failed: Dictionary = {}  # name -> failures in a row


## [param wanted] names the sources: `head`, `controllers`, `hands`, `gaze`, `face`, `body`, `buttons`, each a bool;
## [param controller_pose] is `grip`, `aim` or `default`.
func _init(outlet: Outlet, wanted: Dictionary, controller_pose: StringName) -> void:
	var poses: Array[StringName] = [controller_pose, &"grip", &"default", &"aim"]
	# Eye trackers are often the app's own, and buttons may be: these two are made in any case, and asked if wanted.
	buttons = ButtonSource.new(outlet)
	gaze = GazeSource.new(outlet)
	if wanted.get("head", true):
		_sources["head"] = PoseSource.new(outlet, &"head", 0, Outlet.HEAD, [&"default"])
	if wanted.get("controllers", true):
		_sources["left controller"] = PoseSource.new(outlet, &"left_hand", 1, Outlet.LEFT, poses)
		_sources["right controller"] = PoseSource.new(outlet, &"right_hand", 2, Outlet.RIGHT, poses)
	if wanted.get("gaze", true):
		_sources["gaze"] = gaze
	if wanted.get("hands", true):
		_sources["left hand"] = HandSource.new(outlet, &"/user/hand_tracker/left", 1, Outlet.LEFT_HAND)
		_sources["right hand"] = HandSource.new(outlet, &"/user/hand_tracker/right", 2, Outlet.RIGHT_HAND)
	if wanted.get("face", true):
		_sources["face"] = FaceSource.new(outlet)
	if wanted.get("body", false):
		_sources["body"] = BodySource.new(outlet)
	if wanted.get("buttons", true):
		_sources["buttons"] = buttons


## Captures one frame.
func frame(t_ns: int) -> void:
	for name: String in _sources:
		# GDScript has no exceptions: a call that fails ends early and gives false.
		if _sources[name].capture(t_ns):
			continue
		_failed[name] = int(_failed.get(name, 0)) + 1
		if _failed[name] >= FAILURES:
			_sources.erase(name)
			source_failed.emit(name)
			return  # the dictionary is another one now; the rest of this frame is not worth a copy of it every frame


## Captures one source by its name; for players of recorded movements. False if there is none of that name.
func one(name: String, t_ns: int) -> bool:
	return _sources.has(name) and _sources[name].capture(t_ns)


## Adds a source of the app's own: an object with `capture(t_ns: int) -> bool`.
func add(name: String, source: Object) -> void:
	_sources[name] = source


## Lets go of all trackers.
func close() -> void:
	buttons.close()
	_sources.clear()
