"""How number formats are chosen, one step a file."""
