"""What is kept on disk of large sets of files, so that no later epoch or run has to read and decode them again."""
