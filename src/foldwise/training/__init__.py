"""From a recipe and folds to weights and predictions: the only room with torch, fastai and timm."""
