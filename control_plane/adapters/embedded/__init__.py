"""The one-machine world: files, SQLite and the function host."""
