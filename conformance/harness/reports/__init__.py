"""What a run says: report.json for machines, a table for people; JUnit is pytest's own."""
