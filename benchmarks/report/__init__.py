"""A report of saved benchmarks: tables, pictures, and what differs between runs."""
