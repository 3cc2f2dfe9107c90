"""RcdNet: what the model is and what its weights mean."""
