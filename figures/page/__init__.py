"""The page that binds what is known of some traces: its parts, and the template that holds them."""
