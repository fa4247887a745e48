extends SceneTree
## A source that fails in every frame, beside one that does not: prints how often each was asked, and who was left out.

const Client := preload("res://addons/vestibule/client/client.gd")
const Outlet := preload("res://addons/vestibule/capture/outlet.gd")
const Capture := preload("res://addons/vestibule/capture/capture.gd")


class Failing:
	extends RefCounted
	var asked := 0

	func capture(_t_ns: int) -> bool:
		asked += 1
		var nothing: XRPose = null
		return nothing.has_tracking_data


class Good:
	extends RefCounted
	var asked := 0

	func capture(_t_ns: int) -> bool:
		asked += 1
		return true


func _initialize() -> void:
	var client := Client.new({}, OS.get_user_data_dir())
	var capture := Capture.new(Outlet.new(client), {}, &"grip")
	var left_out: Array[String] = []
	capture.source_failed.connect(func(source: String) -> void: left_out.append(source))
	var failing := Failing.new()
	var good := Good.new()
	capture.add("failing", failing)
	capture.add("good", good)
	for frame in 20:
		capture.frame(frame)
	print("TOLD ", JSON.stringify({"failing": failing.asked, "good": good.asked, "left_out": left_out}))
	capture.close()
	client.close(0, false)
	quit()
