"""What `torture.py` is made of: samples, mutations, kills, and a watched child for each command."""
