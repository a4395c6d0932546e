"""What a guard is worth: figures with intervals, and the controls without which they mislead."""
