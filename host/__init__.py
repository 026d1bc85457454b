"""What runs on the user's machine: compiler, driver, report and command line."""
