"""How activations are made small for the wire: codecs, and the residuals they are applied to."""
