extends RefCounted
## The kinds of sample: numbers, names, sizes. Source: SPEC, "Sample records".

const POSE := 1
const GAZE := 2
const HAND := 3
const HAPTIC := 4
const BUTTON := 5
const CLOCK := 6
const MARKER := 7
const INFO := 8
const PCM := 9
const FACE_FB2 := 16
const FACE_ARKIT := 17
const FACE_UNIFIED := 18
const FACE_HTC := 19

## Name by number.
const NAMES: Dictionary = {
	POSE: "pose",
	GAZE: "gaze",
	HAND: "hand",
	HAPTIC: "haptic",
	BUTTON: "button",
	CLOCK: "clock",
	MARKER: "marker",
	INFO: "info",
	PCM: "pcm",
	FACE_FB2: "face_fb2",
	FACE_ARKIT: "face_arkit",
	FACE_UNIFIED: "face_unified",
	FACE_HTC: "face_htc",
}

## Bytes of one record by number; of the header, for the kinds of [constant VARIABLE].
const BYTES: Dictionary = {
	POSE: 64,
	GAZE: 112,
	HAND: 952,
	HAPTIC: 32,
	BUTTON: 24,
	CLOCK: 48,
	MARKER: 12,
	INFO: 10,
	PCM: 16,
	FACE_FB2: 296,
	FACE_ARKIT: 224,
	FACE_UNIFIED: 588,
	FACE_HTC: 220,
}

## Kinds with one sample a frame, whose length their own header tells.
const VARIABLE: Dictionary = {MARKER: true, INFO: true, PCM: true}

## Schema and number of weights of the face kinds.
const FACES: Dictionary = {
	FACE_FB2: Vector2i(1, 70),
	FACE_ARKIT: Vector2i(2, 52),
	FACE_UNIFIED: Vector2i(3, 143),
	FACE_HTC: Vector2i(4, 51),
}

const MARKER_MAX_BYTES := 512
const INFO_MAX_BYTES := 1024
## Values of sound in one sample that fit every packet; 560 fit only while its numbers are small.
const PCM_MAX_VALUES := 551

## Flags of a pose.
const POSITION_VALID := 1
const ORIENTATION_VALID := 2
const POSITION_TRACKED := 4
const ORIENTATION_TRACKED := 8
const LINEAR_VELOCITY_VALID := 16
const ANGULAR_VELOCITY_VALID := 32
const PREDICTED := 64
const HELD := 128
