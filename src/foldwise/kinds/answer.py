"""What a label is to those that read it, and a prediction to those that write or score it."""

from typing import Literal

# probabilities of classes, the order of them, the classes that are named; or numbers
Answer = Literal["probabilities", "ranking", "labels", "numbers"]
Target = Literal["class", "labels", "numbers"]  # one class a row, any number of labels, numbers
