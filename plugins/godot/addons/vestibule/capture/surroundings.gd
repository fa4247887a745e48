extends RefCounted
## What is true of all streams: engine, runtime, headset, nominal rate, space. Nothing that names a person or a device.

const Kinds := preload("../wire/kinds.gd")
const Outlet := preload("outlet.gd")

const SPACE_NAMES: Array[String] = ["view", "local", "local_floor", "stage", "unbounded"]
## Space of poses by `XRInterface.PlayAreaMode`.
const SPACES := {
	XRInterface.XR_PLAY_AREA_3DOF: 1,
	XRInterface.XR_PLAY_AREA_SITTING: 1,
	XRInterface.XR_PLAY_AREA_ROOMSCALE: 2,
	XRInterface.XR_PLAY_AREA_STAGE: 3,
}
const MAX_TEXT := 64


## Looks at engine and runtime, and writes what it sees into the outlet.
static func look(outlet: Outlet, plugin_version: String) -> void:
	var xr := XRServer.primary_interface
	var engine := Engine.get_version_info()
	var common := {
		"plugin": "vestibule-godot %s" % plugin_version,
		"engine": "godot %s" % engine["string"],
		"axes": "openxr",
		"filter": "unknown",
	}
	var hz := float(Engine.max_fps)
	outlet.predicted = 0
	if xr != null:
		outlet.space = SPACES.get(xr.get_play_area_mode(), outlet.space)
		common["runtime"] = _runtime(xr)
		if xr.is_class("OpenXRInterface"):
			# OpenXR's poses are those of the moment when this frame will be shown.
			outlet.predicted = Kinds.PREDICTED
			hz = maxf(float(xr.get("display_refresh_rate")), 0.0)
	if hz > 0.0:
		common["nominal_hz"] = snappedf(hz, 0.01)
	common["space"] = SPACE_NAMES[outlet.space]
	var model := OS.get_model_name()
	if model != "GenericDevice":
		common["model"] = model.left(MAX_TEXT)
	outlet.common = common


static func _runtime(xr: XRInterface) -> String:
	var system := xr.get_system_info()
	var name := str(system.get("XRRuntimeName", xr.get_name()))
	return ("%s %s" % [name, str(system.get("XRRuntimeVersion", ""))]).strip_edges().left(MAX_TEXT)
