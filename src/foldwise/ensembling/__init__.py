"""From the predictions of several models to one, cross-fitted."""
