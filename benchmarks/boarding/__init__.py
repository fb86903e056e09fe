"""What `boards.py` needs: sets of images, cheap models on them, and figures over many boards."""
