"""The method: pretrain, pseudo-label, retrain."""
