"""How a fold's model comes from its training part: a method each."""
