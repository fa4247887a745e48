extends RefCounted
## The project settings of the addon: names, defaults, hints, and how an app reads them.

const ROOT := "vestibule/"

## name -> [default, hint, hint string]. Everything else about them stands in `docs/godot.md`.
const ALL := {
	"gateway/host": ["", PROPERTY_HINT_NONE, ""],
	"gateway/port": [4747, PROPERTY_HINT_RANGE, "1,65535"],
	"device/name": ["", PROPERTY_HINT_NONE, ""],
	"device/start_with_app": [true, PROPERTY_HINT_NONE, ""],
	"device/pause_when_unfocused": [false, PROPERTY_HINT_NONE, ""],
	"device/watch_folder": ["auto", PROPERTY_HINT_NONE, ""],
	"spool/enabled": [false, PROPERTY_HINT_NONE, ""],
	"spool/megabytes": [256, PROPERTY_HINT_RANGE, "1,4096"],
	"capture/head": [true, PROPERTY_HINT_NONE, ""],
	"capture/controllers": [true, PROPERTY_HINT_NONE, ""],
	"capture/controller_pose": ["grip", PROPERTY_HINT_ENUM, "grip,aim,default"],
	"capture/hands": [true, PROPERTY_HINT_NONE, ""],
	"capture/gaze": [true, PROPERTY_HINT_NONE, ""],
	"capture/face": [true, PROPERTY_HINT_NONE, ""],
	"capture/body": [false, PROPERTY_HINT_NONE, ""],
	"capture/buttons": [true, PROPERTY_HINT_NONE, ""],
	"commands/haptic": [true, PROPERTY_HINT_NONE, ""],
	"commands/text": [true, PROPERTY_HINT_NONE, ""],
	"commands/marker": [true, PROPERTY_HINT_NONE, ""],
	"sign/show": [true, PROPERTY_HINT_NONE, ""],
}

## Where identity and spool stand: storage that only the app can read.
const PRIVATE_DIR := "user://vestibule"


## Makes the settings known to the editor; values that are there stay.
static func register() -> void:
	for name: String in ALL:
		var row: Array = ALL[name]
		var path := ROOT + name
		if not ProjectSettings.has_setting(path):
			ProjectSettings.set_setting(path, row[0])
		ProjectSettings.set_initial_value(path, row[0])
		ProjectSettings.set_as_basic(path, true)
		ProjectSettings.add_property_info(
			{"name": path, "type": typeof(row[0]), "hint": row[1], "hint_string": row[2]}
		)


## A setting's value.
static func value(name: String) -> Variant:
	return ProjectSettings.get_setting(ROOT + name, ALL[name][0])


## What `client.gd` is made with.
static func options() -> Dictionary:
	var commands: Array[String] = []
	for verb: String in ["haptic", "text", "marker"]:
		if value("commands/" + verb):
			commands.append(verb)
	return {
		"host": value("gateway/host"),
		"port": value("gateway/port"),
		"name": value("device/name"),
		"watch": watch_folder(),
		"spool": value("spool/enabled"),
		"spool_bytes": int(value("spool/megabytes")) * 1024 * 1024,
		"commands": commands,
		"targets": [1, 2],
	}


## Which sources are wanted.
static func sources() -> Dictionary:
	var wanted := {}
	for name: String in ["head", "controllers", "hands", "gaze", "face", "body", "buttons"]:
		wanted[name] = value("capture/" + name)
	return wanted


## The folder in which `vestibule.json` may be laid. `auto` is, on Android, the app's folder on shared storage
## (/sdcard/Android/data/PACKAGE/files), which `adb push` can write and other apps cannot read; elsewhere `user://`.
static func watch_folder() -> String:
	var folder := str(value("device/watch_folder"))
	if folder != "auto":
		return folder
	if OS.get_name() == "Android":
		# Without shared storage "desktop" stands for the root of that folder; it needs no permission.
		return OS.get_system_dir(OS.SYSTEM_DIR_DESKTOP, false)
	return OS.get_user_data_dir()
