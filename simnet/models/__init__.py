"""The models: small ones with weights, and the shapes of the published ones."""
