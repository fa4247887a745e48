@tool
extends EditorPlugin
## Enables the addon in the editor: the autoload, the project settings, and a look at each Android export.

const Settings := preload("settings.gd")
const ExportCheck := preload("export_check.gd")

const AUTOLOAD := "Vestibule"
const SCRIPT := "res://addons/vestibule/vestibule.gd"

var _check := ExportCheck.new()


func _enable_plugin() -> void:
	add_autoload_singleton(AUTOLOAD, SCRIPT)


## The settings stay, with what the project has set: enabling it again finds them.
func _disable_plugin() -> void:
	remove_autoload_singleton(AUTOLOAD)


func _enter_tree() -> void:
	Settings.register()
	add_export_plugin(_check)


func _exit_tree() -> void:
	remove_export_plugin(_check)
