extends SceneTree
## An XR session on its way in, taken off, put on, and lost: prints what an app is told of it.

const Life := preload("res://addons/vestibule/life.gd")


## An interface with the signals that OpenXR's has.
class Runtime:
	extends XRInterfaceExtension

	func _init() -> void:
		for word: String in ["begun", "synchronized", "visible", "focussed", "stopping", "loss_pending"]:
			add_user_signal("session_" + word)


func _initialize() -> void:
	var told: Array[String] = []
	var life := Life.new()
	life.left.connect(func(reason: String) -> void: told.append("left " + reason))
	life.came_back.connect(func() -> void: told.append("back"))
	var xr := Runtime.new()
	life.follow(xr)
	life.follow(xr)  # looked at again: connected once
	for step: String in [
		"begun synchronized visible focussed",  # on the way in
		"visible focussed",  # the system's menu over the app
		"visible synchronized stopping",  # taken off
		"begun synchronized visible focussed",  # put on
		"loss_pending",
	]:
		for word in step.split(" "):
			xr.emit_signal("session_" + word)
		told.append("|")
	life.away(Life.PAUSED)
	xr.emit_signal(&"session_visible")
	life.back(Life.PAUSED)
	life.follow(null)
	print("TOLD ", JSON.stringify(told))
	quit()
