extends SceneTree
## Loads every script of the project; one that does not compile is told by the engine, and counted here.


func _initialize() -> void:
	var paths := _scripts("res://")
	var good := 0
	for path in paths:
		var script := load(path) as GDScript
		if script != null and (script.can_instantiate() or script.is_tool() or script.is_abstract()):
			good += 1
		else:
			print("%s does not compile" % path)
	print("%d of %d scripts compile" % [good, paths.size()])
	quit()


static func _scripts(folder: String) -> PackedStringArray:
	var found := PackedStringArray()
	for file in DirAccess.get_files_at(folder):
		if file.ends_with(".gd"):
			found.append(folder.path_join(file))
	for inside in DirAccess.get_directories_at(folder):
		found.append_array(_scripts(folder.path_join(inside)))
	return found
