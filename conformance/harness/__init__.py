"""What the tests are made of: implementations, processes, calls, faults, verdicts, reports."""
