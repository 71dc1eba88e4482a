"""The launch contract, walked step by step: what the preflight, `--smoke` and the doctor share."""
