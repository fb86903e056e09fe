"""Models, their heads and weights, their groups of layers."""
