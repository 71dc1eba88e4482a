"""Who may call, and how often: tokens, roles, rate limits, and the record of each refusal."""
