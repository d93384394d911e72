"""Many predictions at once: what a file asks for, in any order, on any number of processes."""
