"""A real slow network on one machine: namespaces joined by virtual Ethernet of limited rate."""
