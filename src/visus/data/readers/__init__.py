"""One file per layout of data on disk. `visus.data.open` holds the table of them."""
