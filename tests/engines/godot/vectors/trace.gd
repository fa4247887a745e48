extends SceneTree
## Does again what traces say (tests/engines/traces.py), and stops at the first difference of each:
## `godot4 --headless --path PROJECT --script res://trace.gd -- FILE...`; a line a file, exit code 1 when one differs.

const Player := preload("res://trace_player.gd")


func _init() -> void:
	var differ := 0
	for path in OS.get_cmdline_user_args():
		var player: Player = null
		var fault := ""
		var at := 0
		var file := FileAccess.open(path, FileAccess.READ)
		while fault == "" and not file.eof_reached():
			var text := file.get_line()
			if text == "":
				continue
			at += 1
			var line: Dictionary = JSON.parse_string(text)
			if line.has("config"):
				player = Player.new(line["config"])
			else:
				fault = player.step(line)
		if fault:
			differ += 1
			print("DIFFERS %s line %d: %s" % [path.get_file(), at, fault])
		else:
			print("ok %s %d lines" % [path.get_file(), at])
	quit(1 if differ else 0)
