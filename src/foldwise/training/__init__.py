"""From a recipe and folds to weights and predictions: the only room with torch, fastai and timm."""

import os

# read when torch is imported: what Apple's GPUs cannot compute is computed on the CPU
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
