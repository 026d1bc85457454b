"""The engine as the tools of others take it: a file of each kind that they read, and the folders of them."""
