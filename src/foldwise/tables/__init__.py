"""CSV and its like as text, listings of folders, archives."""
