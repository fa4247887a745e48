"""Who may what. Two narrow doors: `recording.permit` for what may be kept, `door.decide` for what may be shown."""
