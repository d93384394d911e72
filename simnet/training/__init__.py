"""How the small trained models came by their weights."""
