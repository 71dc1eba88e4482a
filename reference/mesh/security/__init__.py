"""Who may talk to whom, and as whom."""
