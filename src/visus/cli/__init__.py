"""The command line: a thin skin over `visus.run`."""
