"""What things cost: these measure, and never judge."""
