"""Who may talk to whom, as whom, and how often."""
