extends RefCounted
## What a person is told: a sentence for each state and reason, and for what went wrong with a file.

const _NO_ANSWER := (
	"A wrong address, a gateway that is off and a wrong key look the same here, on purpose. Check the Wi-Fi and the"
	+ " address; on the gateway `vestibule status` names devices with bad tags; if this one is among them, pair again."
)
const _WAITING := {
	"no_session": "Connected. Recording begins when staff open a session for this device.",
}
const _BEHIND := {
	# Also the first seconds of an outage, before it counts as no answer.
	"backlog": "Recording. Receipts come late: the network is slow, or the gateway went away just now. Nothing is lost so far.",
	"no_answer": "Recording, but the gateway does not answer. What is captured is kept on this device for now. Check the Wi-Fi.",
	"disk_full": "Recording, but the gateway cannot store: its disk is full. Tell staff; what is captured is kept on this device for now.",
}
const _NOT_RECORDING := {
	"not_started": "Not recording: not started.",
	"not_paired": "Not recording: this device is not paired. Ask staff for a pairing code.",
	"pairing": "Not recording: pairing with the gateway.",
	"pair_no_answer": (
		"Not recording: no answer to the pairing yet; it goes on asking. The code may be wrong, used or expired. "
		+ _NO_ANSWER
	),
	"pair_no_address": (
		"Not recording: the gateway is not found under the name or address that was given, so the pairing did not"
		+ " reach it. Check the Wi-Fi, or pair again with the right name."
	),
	"pair_over": "Not recording: the pairing had no answer for 11 minutes and has ended. Ask staff for a new code.",
	"connecting": "Not recording: connecting to the gateway.",
	"no_answer": "Not recording: the gateway does not answer. " + _NO_ANSWER,
	"closed": "Not recording: staff have closed the session.",
	"withdrawn": "Not recording: consent was withdrawn. Nothing more is recorded.",
	"revoked": "Not recording: this device may no longer send. Staff can pair it again.",
	"version": "Not recording: this app and the gateway have no version in common. One of them must be updated.",
	"ended": "Not recording: the gateway ended the connection. Connecting again.",
	"moved": "Not recording: the gateway moved the connection. Connecting again.",
	"pause": "Not recording: paused.",
	"sleep": "Not recording: the device sleeps.",
	"stop": "Not recording: stopped.",
	"end": "Not recording: ended.",
	"error": "Not recording: ended because of an error.",
}


## The sentence for a visible state, in plain English; a reason that is not known is named as it is.
static func of(state: String, reason: String, behind_s: int) -> String:
	match state:
		"recording":
			return "Recording."
		"waiting":
			return _WAITING.get(reason, "Connected, waiting (%s)." % reason)
		"behind":
			var said: String = _BEHIND.get(reason, "Recording, behind (%s)." % reason)
			# Told in steps of five seconds: in the first of them there is no number to say.
			return "%s Oldest unconfirmed data: %d s." % [said, behind_s] if behind_s > 0 else said
	return _NOT_RECORDING.get(reason, "Not recording (%s)." % reason)


## What to say when samples were given that cannot be taken; the words are those of `device/gather.gd`.
static func of_fault(fault: String, stream: int, kind: int) -> String:
	var why: Dictionary = {
		"kind": "there is no kind of that number",
		"stream": "a stream is a number from 0 to 65534, and there are at most 64",
		"stream_kind": "the stream has another kind; use one stream for each kind",
		"sample_size": "the bytes are not whole records of the kind, or fit no packet",
	}
	return "Samples of stream %d, kind %d were not taken: %s." % [stream, kind, why.get(fault, fault)]
