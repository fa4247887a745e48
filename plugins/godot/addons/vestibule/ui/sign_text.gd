extends RefCounted
## What a sign says: one line that is read at a glance, in the colour of the state, and the sentence below it.

const TITLES := {
	"recording": "RECORDING",
	"waiting": "WAITING",
	"behind": "RECORDING, BEHIND",
	"not_recording": "NOT RECORDING",
}
const COLORS := {
	"recording": Color(0.95, 0.25, 0.22),
	"waiting": Color(0.55, 0.72, 0.95),
	"behind": Color(0.98, 0.72, 0.2),
	"not_recording": Color(0.75, 0.75, 0.75),
}


## The line for a state. It says the state in words: colour alone is not for everybody.
static func title(shown: Dictionary) -> String:
	var name: String = TITLES.get(shown["state"], shown["state"])
	return "%s %d s" % [name, shown["behind_s"]] if shown["state"] == "behind" and shown["behind_s"] > 0 else name


## The colour of a state.
static func color(shown: Dictionary) -> Color:
	return COLORS.get(shown["state"], Color.WHITE)


## The sentence, broken into lines of at most [param width] characters.
static func wrapped(text: String, width: int) -> String:
	var lines: Array[String] = []
	var line := ""
	for word in text.split(" "):
		if not line.is_empty() and line.length() + 1 + word.length() > width:
			lines.append(line)
			line = word
		else:
			line = word if line.is_empty() else line + " " + word
	lines.append(line)
	return "\n".join(lines)
