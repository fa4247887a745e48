extends SceneTree
## Prints the project settings that make an error of every warning that is on by default, in addons too.
##
## Without those about names that stand for something else further out: `hash` is a good name for a hash.

const ROOT := "debug/gdscript/warnings/"
const NAMES := "shadowed_"


func _init() -> void:
	print("gdscript/warnings/exclude_addons=false")
	print("gdscript/warnings/directory_rules={}")
	for property in ProjectSettings.get_property_list():
		var path: String = property["name"]
		if path.begins_with(ROOT + NAMES):
			continue
		if path.begins_with(ROOT) and property["type"] == TYPE_INT and ProjectSettings.get_setting(path) == 1:
			print("%s=2" % path.trim_prefix("debug/"))
	quit()
