"""What a process tells of itself: its log, what it measures, and its spans."""
