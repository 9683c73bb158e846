"""People on their way: entering, moving, effects, and steering by hand."""
