@tool
extends EditorExportPlugin
## Says before and at an Android export what would fail silently on the headset: without INTERNET no packet leaves.
##
## One-click deploy adds that permission by itself, for the debugger; so an app can work from the editor, and be mute
## when it is installed from a file.

const OPTION := "permissions/internet"
const WORDS := (
	"Vestibule sends nothing without the permission INTERNET: check Permissions > Internet in this preset."
	+ " (One-click deploy adds it for debugging, an exported APK has only what is checked.)"
)


func _get_name() -> String:
	return "Vestibule"


func _supports_platform(platform: EditorExportPlatform) -> bool:
	return platform.get_os_name() == "Android"


func _get_export_option_warning(platform: EditorExportPlatform, option: String) -> String:
	if option == OPTION and platform.get_os_name() == "Android" and not get_option(OPTION):
		return WORDS
	return ""


func _export_begin(features: PackedStringArray, _is_debug: bool, _path: String, _flags: int) -> void:
	if features.has("android") and not get_option(OPTION):
		push_error(WORDS)
