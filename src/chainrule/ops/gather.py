"""Reading and writing at computed places: gather, scatter, masks."""
