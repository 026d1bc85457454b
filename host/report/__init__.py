"""What a run found, as report.json and the pages drawn from it."""
