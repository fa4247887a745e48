extends Node
## Sees to it that the state is shown: where a scene has no sign of its own, one is added to the camera of the headset,
## or to the window where there is no headset.

const Sign := preload("vestibule_sign.gd")
const Sign2D := preload("vestibule_sign_2d.gd")
const LOOK_EVERY_S := 1.0

var _since := LOOK_EVERY_S
var _layer: CanvasLayer


func _process(delta: float) -> void:
	_since += delta
	if _since < LOOK_EVERY_S:
		return
	_since = 0.0
	var camera := get_viewport().get_camera_3d()
	if camera is XRCamera3D:
		_clear_flat()
		if get_tree().get_nodes_in_group(Sign.GROUP).is_empty():
			camera.add_child(Sign.new())
	elif _layer == null and get_tree().get_nodes_in_group(Sign.GROUP).is_empty():
		_layer = CanvasLayer.new()
		_layer.layer = 100
		_layer.add_child(Sign2D.new())
		add_child(_layer)


func _clear_flat() -> void:
	if _layer != null:
		_layer.free()
		_layer = null
