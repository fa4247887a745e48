@tool
extends EditorPlugin
## Does what a person does in Project Settings > Plugins, and prints what the project has after each step.


func _enter_tree() -> void:
	_go.call_deferred()


func _go() -> void:
	for frame in 5:
		await get_tree().process_frame
	_tell("before")
	EditorInterface.set_plugin_enabled("vestibule", true)
	await get_tree().process_frame
	_tell("enabled")
	ProjectSettings.set_setting("vestibule/gateway/host", "10.0.0.7")
	EditorInterface.set_plugin_enabled("vestibule", false)
	await get_tree().process_frame
	_tell("disabled")
	EditorInterface.set_plugin_enabled("vestibule", true)
	await get_tree().process_frame
	_tell("again")
	print("TOLD done")
	get_tree().quit()


static func _tell(when: String) -> void:
	var hints := {}
	for property in ProjectSettings.get_property_list():
		if str(property["name"]).begins_with("vestibule/"):
			hints[property["name"]] = property["hint"]
	print(
		"TOLD ",
		JSON.stringify(
			{
				"when": when,
				"autoload": ProjectSettings.get_setting("autoload/Vestibule", ""),
				"host": ProjectSettings.get_setting("vestibule/gateway/host", ""),
				"settings": hints,
			}
		)
	)
