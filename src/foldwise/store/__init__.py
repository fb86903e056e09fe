"""Files that foldwise writes: their names and contents, written whole and read back."""
