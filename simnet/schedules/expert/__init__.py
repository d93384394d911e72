"""Expert parallelism: each rank has some of the experts, and tokens go to where theirs are."""
